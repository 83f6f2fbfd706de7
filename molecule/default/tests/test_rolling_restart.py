"""Restarting every replica of the busy services is noticed by nobody."""

from __future__ import annotations

import json
import time

from edge import Edge
from steady_load import Load

from lab import Lab

RESTARTED = ("web", "api")
LONGEST = 240.0


def replicas(lab: Lab) -> dict[tuple[str, str], str]:
    """When each replica of the restarted services was started."""
    return {
        (one.host, one.component): one.started
        for one in lab.containers()
        if one.component.startswith(tuple(f"{service}-" for service in RESTARTED))
    }


def test_a_rolling_restart_under_load_fails_no_request(lab: Lab, edge: Edge) -> None:
    before = replicas(lab)
    assert len(before) >= 4
    with Load(edge) as load:
        # Load that is running well before the restart, and after it, shows what the restart alone does.
        time.sleep(3)
        wanted = json.dumps({"services": RESTARTED})
        try:
            done = lab.playbook("playbooks/rolling_restart.yml", "-e", wanted, timeout=LONGEST, check=False)
            time.sleep(3)
        finally:
            print(load, *load.failures, sep="\n")
    assert done.returncode == 0, f"{load}\n{done.stdout}\n{done.stderr}"
    assert load.failed == 0, f"{load}\n" + "\n".join(load.failures)
    assert min(load.counts[kind] for kind in ("page", "search", "echo")) > 50
    after = replicas(lab)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] == before[name]] == [], "not restarted"
