"""Who leads PostgreSQL and Redis, so that a test that loses a host does not measure a failover besides."""

from __future__ import annotations

import json
import time

from site_under_test import Machine, Site

PATIENCE = 60


def lead_elsewhere(site: Site, machine: Machine) -> None:
    """Let hosts other than this one lead."""
    asked = next(other for other in site.machines if other != machine)
    stack = site.stack["name"]
    if _postgres(asked, stack) == machine.name:
        asked(
            f"sudo docker exec {stack}-postgres-1 patronictl switchover {stack}"
            f" --leader {machine.name} --candidate {asked.name} --force"
        )
    if _redis(asked, stack) == site.lab["hosts"][machine.name]:
        machine(f"sudo docker exec {stack}-redis-1 /config/move-master.sh")
    limit = time.monotonic() + PATIENCE
    while _redis(asked, stack) == site.lab["hosts"][machine.name]:
        assert time.monotonic() < limit, f"Redis is led by {machine.name} still"
        time.sleep(1)  # sentinels tell each other


def _postgres(asked: Machine, stack: str) -> str:
    members = json.loads(asked(f"sudo docker exec {stack}-postgres-1 patronictl list --format json"))
    return str(next(member["Member"] for member in members if member["Role"] == "Leader"))


def _redis(asked: Machine, stack: str) -> str:
    return asked(f"sudo docker exec {stack}-redis-1 /config/current-master.sh 5")
