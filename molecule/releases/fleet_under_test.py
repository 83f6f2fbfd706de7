"""The environment as releases see it: what runs of a service on every host, and which release it is of."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

from site_under_test import Run, Site

from lab import Lab

# WebSockets and streams use up their whole drain time, replica by replica; downloads take 4 s.
DRAINS = {"updates": "12s", "journeys": "12s", "api": "15s"}


def shorten_drains(stack: dict[str, Any]) -> None:
    for service, drain in DRAINS.items():
        stack["services"][service]["drain"] = drain


class Fleet:
    def __init__(self, site: Site, lab: Lab, logs: Path) -> None:
        self.site = site
        self._lab = lab
        self._logs = logs
        self._numbers = itertools.count()

    def stack(self, service: str, environment: dict[str, str], **settings: Any) -> dict[str, Any]:
        """The stack with one service changed; strategies whose pauses suit a test."""
        stack = self.site.stack
        stack["strategies"] = {
            "quick_blue_green": {
                "steps": [
                    {"new": "100%", "share": 10, "pause": "8s"},
                    {"new": "100%", "share": 50, "pause": "8s"},
                    {"new": "100%", "share": 100},
                ],
                "watch": "8s",
            },
            "at_once_and_warm": {"steps": [{"new": "100%", "share": 100}], "warm": True},
            "quick_canary": {
                "steps": [{"new": 1, "share": 50, "pause": "12s"}, {"new": "100%", "share": 100}],
                "watch": "8s",
            },
        }
        changed = stack["services"][service]
        changed["environment"] = changed.get("environment", {}) | environment
        changed.update(settings)
        return stack

    def deploy(self, stack: dict[str, Any] | None = None, *more: str) -> Run:
        return self.site.deploy(self.log(), {"stack": stack} if stack else None, *more)

    def rollback(self, stack: dict[str, Any] | None = None) -> Run:
        variables = {"stack": stack} if stack else None
        return self.site.deploy(self.log(), variables, playbook="playbooks/rollback.yml")

    def scale(self, **replicas: int) -> Run:
        return self.site.deploy(self.log(), {"replicas": replicas}, playbook="playbooks/scale.yml")

    def running(self, service: str) -> dict[str, dict[str, int]]:
        """Replicas that run, by host and pool."""
        found: dict[str, Counter[str]] = {host: Counter() for host in self._lab.hosts}
        for container in self._lab.containers():
            name = container.component
            if (
                name.startswith((f"{service}-blue-", f"{service}-green-"))
                and container.facts["State"]["Running"]
            ):
                found[container.host][name.split("-")[1]] += 1
        return {host: dict(pools) for host, pools in found.items()}

    def variables(self, service: str) -> list[set[str]]:
        """The environment of every container of a service."""
        return [
            set(container.facts["Config"]["Env"])
            for container in self._lab.containers()
            if container.component.startswith((f"{service}-blue-", f"{service}-green-"))
        ]

    def current(self) -> str:
        """The id of the release that every host points at."""
        (release,) = {
            host.check_output("readlink /opt/%s/current", self._lab.stack["name"])
            for host in self._lab.hosts.values()
        }
        return release.removeprefix("releases/")

    def pools(self, service: str) -> dict[str, Any]:
        """What each host has recorded of a service's pools."""
        path = f"/opt/{self._lab.stack['name']}/state/pools.json"
        return {
            name: json.loads(host.check_output("cat %s", path))[service]
            for name, host in self._lab.hosts.items()
        }

    def record(self) -> dict[str, Any]:
        """The newest record in the history of the first host."""
        host = next(iter(self._lab.hosts.values()))
        newest = "cat $(ls -d /opt/%s/state/history/*.json | tail -1)"
        found: dict[str, Any] = json.loads(host.check_output(newest, self._lab.stack["name"]))
        return found

    def image(self, service: str) -> str:
        """The reference that a service runs from."""
        name = f"{service}-{next(iter(self.pools(service).values()))['live']}-1"
        found = (one for one in self._lab.containers() if one.component == name)
        return str(next(found).facts["Config"]["Image"])

    def last_record(self) -> str:
        """The record of the latest run, as a host keeps it."""
        folder = f"/opt/{self._lab.stack['name']}/state/history"
        host = next(iter(self._lab.hosts.values()))
        return str(host.check_output("cat %s/$(ls %s | tail -1)", folder, folder))

    def assert_one_pool(self, service: str, replicas: int = 2) -> str:
        """The same pool runs on every host, whole, and nothing else; return its name."""
        running = self.running(service)
        (live,) = {pools["live"] for pools in self.pools(service).values()}
        assert all(pools == {live: replicas} for pools in running.values()), running
        return live

    def log(self) -> Path:
        return self._logs / f"{next(self._numbers)}.log"
