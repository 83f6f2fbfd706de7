"""A status page hears of a release and of a service that is down; a push monitor, that the site answers.

Deploys the lab's stack with hooks to this machine, stops all replicas of a service, waits, starts them again,
and deploys the usual stack. Run by hand: `pytest molecule/releases/test_integrations.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.webhooks import signature
from fleet_under_test import Fleet
from test_alerts import Sinks, sinks, supply
from waiting import eventually

from lab import Lab

__all__ = ["sinks"]
KEY = "a-key-of-the-test"
SERVICE = "updates"
# Alerts wait, the program looks every 15 s, and the better must have lasted.
PATIENCE = 300.0


def told_to(stack: dict[str, Any], sinks: Sinks) -> dict[str, Any]:
    url = f"http://{sinks.address}:{sinks.web.server_address[1]}"
    events = ["started", "succeeded", "down", "degraded", "up"]
    stack["secrets"] |= {"page_key": {}}
    stack["hooks"] = [{"on": events, "webhook": f"{url}/page", "signing_secret": "page_key"}]
    stack["components"]["monitoring"]["alerts"] = {
        "receivers": {"push": {"webhook": {"url": f"{url}/push"}}},
        "uptime": {"receivers": ["push"], "every": "30s"},
    }
    return stack


def heard(sinks: Sinks) -> list[tuple[str, str]]:
    """Events, and of which service; only what is signed as it should be."""
    found = []
    for path, body, given in list(sinks.web.got):
        headers = {name.lower(): value for name, value in given.items()}
        if path != "/page":
            continue
        at, content = int(headers["webhook-timestamp"]), json.dumps(body).encode()
        assert headers["webhook-signature"] == signature(KEY, headers["webhook-id"], at, content)
        found.append((body["event"], body.get("service", {}).get("name", "")))
    return found


@pytest.mark.by_hand
def test_a_status_page_and_a_push_monitor_are_told(
    fleet: Fleet, lab: Lab, sinks: Sinks, tmp_path: Path
) -> None:
    supply(lab, tmp_path, page_key=KEY)
    run = fleet.deploy(told_to(fleet.site.stack, sinks))
    assert run.status == 0, run.problem
    assert heard(sinks)[:2] == [("started", ""), ("succeeded", "")]
    assert eventually(lambda: "/push" in [path for path, _, _ in sinks.web.got], bool, PATIENCE)
    replicas = f"docker ps --all --quiet --filter name=^/{lab.stack['name']}-{SERVICE}-"
    running = {
        name: host.check_output(f"{replicas} --filter status=running") for name, host in lab.hosts.items()
    }
    try:
        for name, host in lab.hosts.items():
            host.check_output(f"docker stop {' '.join(running[name].split())}")
        assert eventually(lambda: ("down", SERVICE) in heard(sinks), bool, PATIENCE), heard(sinks)
    finally:
        for name, host in lab.hosts.items():
            host.run(f"docker start {' '.join(running[name].split())}")
    try:
        assert eventually(lambda: ("up", SERVICE) in heard(sinks), bool, PATIENCE), heard(sinks)
    finally:
        back = fleet.deploy()
    assert back.status == 0, back.problem
