"""Kill deployments of a changed release at task boundaries, and see one more run repair each."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from site_under_test import CHECKOUT, DEPLOY_SECONDS, Machine, Run, Site

CALLBACKS = CHECKOUT / "molecule/failures/callbacks"
KILLED = re.compile(r"KILLED before task (\d+): (.*)")
BOUNDARY = re.compile(r"BOUNDARY before task (\d+): (.*)")
# Pauses that suit a test.
STRATEGIES = {
    "quick_canary": {
        "steps": [{"new": 1, "share": 20, "pause": "4s"}, {"new": "100%", "share": 100}],
        "watch": "4s",
    }
}


@dataclass(frozen=True)
class Kill:
    """A run that was to die before a task: its name, or "" where the run was over before."""

    task: str
    status: int
    log: Path


def changed(site: Site, service: str, strategy: str) -> dict[str, Any]:
    """Another release every time: every replica of a service is new, and the edge is reloaded."""
    stack, mark = site.stack, secrets.token_hex(4)
    stack["strategies"] = STRATEGIES
    changed = stack["services"][service]
    changed["environment"] = changed.get("environment", {}) | {"SWEPT": mark}
    changed["strategy"] = strategy
    stack["components"]["edge"]["content_security_policy"] = f"default-src 'self'; report-uri /swept/{mark}"
    return {"stack": stack}


def kill(site: Site, log: Path, variables: dict[str, Any], at: str, playbook: str = "deploy.yml") -> Kill:
    """Run a playbook until a task would begin: its number, or a part of its name."""
    with _killing(at), site.deploying(log, variables, playbook=playbook) as process:
        status = process.wait(timeout=DEPLOY_SECONDS)
    found = KILLED.search(log.read_text())
    assert not found or status == -signal.SIGKILL
    return Kill(found[2] if found else "", status, log)


def boundaries(site: Site, log: Path, variables: dict[str, Any]) -> dict[int, str]:
    """Where a whole deployment has left the hosts other than at the task before: number and name."""
    with _killing("never"), site.deploying(log, variables) as process:
        assert process.wait(timeout=DEPLOY_SECONDS) == 0, log.read_text()[-3000:]
    return {int(number): name for number, name in BOUNDARY.findall(log.read_text())}


def assert_whole(site: Site, service: str) -> None:
    """One release on all hosts, and of the service one pool, the live one, with all its replicas."""
    root = f"/opt/{site.stack['name']}"
    replicas = site.stack["services"][service]["replicas"]
    told = {machine.name: _told(machine, root, service) for machine in site.machines}
    assert len({release for release, _live, _running in told.values()}) == 1, told
    assert len({live for _release, live, _running in told.values()}) == 1, told
    assert all(running == {live: replicas} for _release, live, running in told.values()), told


def repaired(site: Site, log: Path, variables: dict[str, Any], service: str) -> Run:
    """One more run, after which all is as it should be."""
    run = site.deploy(log, variables)
    assert run.status == 0, run.problem
    assert_whole(site, service)
    return run


def _told(machine: Machine, root: str, service: str) -> tuple[str, str, Counter[str]]:
    told = machine(
        f"sudo readlink {root}/current; sudo cat {root}/state/pools.json | tr -d '\\n'; echo;"
        " sudo docker ps --format '{{.Names}}'"
    )
    release, pools, *names = told.splitlines()
    running = Counter(found[1] for name in names if (found := re.search(rf"-{service}-(blue|green)-", name)))
    return release, json.loads(pools)[service]["live"], running


@contextmanager
def _killing(at: str) -> Iterator[None]:
    """What `Site.deploying` gives its process on the way."""
    ours = {
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
        "SLIPWAY_KILL_AT": at,
    }
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
