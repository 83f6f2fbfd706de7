"""A budget that is spent holds releases of its service, and nothing else; an alert tells of it.

Stops every replica of the service for some seconds. Run by hand: `pytest molecule/releases/test_slo.py`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from edge import Edge
from fleet_under_test import Fleet
from test_bad_releases import SEARCH
from test_monitoring import ask
from waiting import eventually

from lab import Lab

SERVICE = "api"
# A ten-thousandth of a week of these minutes: some requests, but fewer than are made to fail here.
PROMISE = {"availability": 99.99, "window": "7d"}
# Two scrapes and two evaluations of the rules.
COUNTED = 120
# An alert's longer window is an hour of what there is, its shorter one five minutes.
TOLD = 300


def release(fleet: Fleet, service: str, **variables: str) -> dict[str, Any]:
    """The stack with the promise, and with another definition of one service."""
    stack = fleet.stack(service, variables or {"RELEASE_UNDER_TEST": secrets.token_hex(4)})
    stack["services"][SERVICE]["slo"] = PROMISE
    return stack


@contextmanager
def stopped(lab: Lab, service: str) -> Iterator[None]:
    """Every replica of a service is down, on all hosts."""
    prefix = f"{lab.stack['name']}-{service}-"
    running = [
        (lab.hosts[one.host], str(one.facts["Name"]).lstrip("/"))
        for one in lab.containers()
        if str(one.facts["Name"]).lstrip("/").startswith((f"{prefix}blue-", f"{prefix}green-"))
    ]
    assert running
    for host, name in running:
        host.check_output("docker stop --time 1 %s", name)
    try:
        yield
    finally:
        for host, name in running:
            host.check_output("docker start %s", name)


def left(lab: Lab) -> float:
    told = ask(lab, f"query?query=slipway_slo_budget_left:ratio{{service='{SERVICE}'}}")["result"]
    return float(told[0]["value"][1]) if told else 1.0


def firing(lab: Lab) -> list[str]:
    wanted = f"ALERTS{{alertname='ErrorBudgetBurning',service='{SERVICE}',alertstate='firing'}}"
    return [one["metric"]["severity"] for one in ask(lab, f"query?query={wanted}")["result"]]


@pytest.mark.by_hand
def test_a_spent_budget_holds_releases_of_its_service(fleet: Fleet, lab: Lab, edge: Edge) -> None:
    mark = {"RELEASE_UNDER_TEST": secrets.token_hex(4)}
    run = fleet.deploy(release(fleet, SERVICE, **mark))
    assert run.status == 0, run.problem
    assert eventually(lambda: left(lab), lambda it: it == 1.0, COUNTED) == 1.0
    begun = time.monotonic()
    with stopped(lab, SERVICE):
        answers = [edge.request("GET", SEARCH).status for _ in range(300)]
    assert min(answers) >= 500
    assert eventually(lambda: edge.request("GET", SEARCH).status, lambda it: it == 200, 120) == 200

    assert eventually(lambda: left(lab), lambda it: it < 0, COUNTED) < 0
    print(f"the budget is known to be spent {time.monotonic() - begun:.0f} s after the first failure")
    assert eventually(lambda: firing(lab), lambda it: "critical" in it, TOLD) != []
    print(f"the alert fires {time.monotonic() - begun:.0f} s after the first failure")

    stack, here = release(fleet, SERVICE), fleet.site.state()
    for more in (("--check",), ()):
        refused = fleet.deploy(stack, *more)
        assert refused.status != 0
        assert f"{SERVICE} has spent" in refused.output and "% of its error budget" in refused.output
        assert "docs/runbooks/slo.md" in refused.output
    assert fleet.site.state() == here
    # Another service makes nothing worse; who must, says so.
    another = release(fleet, SERVICE, **mark)
    another["services"]["web"].setdefault("environment", {})["RELEASE_UNDER_TEST"] = "another"
    assert fleet.deploy(another, "--check").status == 0
    assert fleet.deploy(stack, "--check", "-e", "release_without_budget=true").status == 0
