"""New replicas are asked before any user is sent to them; and one user sees one version."""

from __future__ import annotations

import http.cookies
import json
import re
import secrets
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from edge import Edge
from fleet_under_test import Fleet
from site_under_test import DEPLOY_SECONDS
from steady_load import Load

from lab import Lab

COOKIE = "__Host-slipway"
USERS = 40


def mark() -> dict[str, str]:
    return {"RELEASE_UNDER_TEST": secrets.token_hex(4)}


def search() -> str:
    day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    return f"/api/journeys?from=Paris&to=Milan&date={day}"


@pytest.mark.by_hand
@pytest.mark.parametrize("strategy", ["rolling", "quick_canary"])
def test_a_release_that_answers_a_probe_wrongly_costs_no_user_a_request(
    fleet: Fleet, load: Load, strategy: str
) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    free = "green" if live == "blue" else "blue"
    bad = {"MISBEHAVE": "errors=1", **mark()}
    probes = [{"path": search(), "contains": "journeys"}]
    run = fleet.deploy(fleet.stack("api", bad, strategy=strategy, probes=probes))
    assert run.status != 0
    assert "ROLLED BACK" in run.output, run.problem
    told = re.escape(f"api ({free}) answered 500 to GET {search()} through ")
    assert re.search(rf"{told}\S+'s edge, expected 200 \(replica api-{free}-1\.", run.output), run.problem
    assert fleet.assert_one_pool("api") == live
    assert fleet.current() == here
    assert load.failed == 0, load.failures


@pytest.mark.by_hand
def test_a_good_release_is_probed_through_every_edge_host_and_recorded(fleet: Fleet, load: Load) -> None:
    probes = [{"path": search(), "contains": "journeys", "within": "5s"}]
    run = fleet.deploy(fleet.stack("api", mark(), strategy="quick_canary", probes=probes))
    assert run.status == 0, run.problem
    assert "probe through every edge host" in run.output
    (step,) = [it for it in fleet.record()["steps"] if it["name"] == "probe the new replicas of api"]
    assert step["verdict"] == "pass"
    assert re.match(
        r"api \(\w+\): 18 probes of 3 replicas through lab-1\S+, lab-2\S+, slowest ", step["detail"]
    )
    assert load.failed == 0, load.failures


def test_a_stranger_chooses_no_replica(fleet: Fleet, edge: Edge, lab: Lab) -> None:
    live = fleet.assert_one_pool("api")
    free = "green" if live == "blue" else "blue"
    ids = [secrets.token_hex(8) for _ in range(6)]
    for one in ids:
        answer = edge.get(
            search(),
            X_Slipway_Probe="guessed",
            X_Slipway_Server=f"api/api-{free}-1.lab-1.slipway.test",
            X_Request_ID=one,
        )
        assert answer.status == 200
        assert not [name for name in answer.headers if name.lower().startswith("x-slipway")]
    assert {pool for one, pool in pools(lab).items() if one in ids} == {live}


@pytest.mark.by_hand
def test_one_user_sees_one_version_until_it_is_gone(fleet: Fleet, load: Load, edge: Edge, lab: Lab) -> None:
    # The router is told first: what a release changes in the edge comes after its services.
    assert fleet.deploy(fleet.stack("api", {}, sticky=True)).status == 0
    old = fleet.assert_one_pool("api")
    assert edge.get(search()).headers["Set-Cookie"] is None
    told = fleet.stack("api", mark(), sticky=True, strategy="quick_canary")
    log = fleet.log()
    with fleet.site.deploying(log, {"stack": told}) as process:
        users = [cookie(edge) for _ in range(USERS)]
        during = visits(edge, users, seconds=3.0)
        assert process.wait(timeout=DEPLOY_SECONDS) == 0, log.read_text()[-3000:]
    new = fleet.assert_one_pool("api")
    assert new != old
    after = visits(edge, users, seconds=0.0)
    found = pools(lab)
    seen = {user: {found[one] for one in ids} for user, ids in during.items()}
    assert all(len(one) == 1 for one in seen.values()), seen
    assert set().union(*seen.values()) == {old, new}
    assert {found[one] for ids in after.values() for one in ids} == {new}
    assert load.failed == 0, load.failures


def cookie(edge: Edge) -> str:
    """A new user's, as soon as two versions share the traffic."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        given = edge.get(search()).headers["Set-Cookie"]
        if given:
            return http.cookies.SimpleCookie(given)[COOKIE].value
        time.sleep(0.2)  # between two looks
    raise AssertionError("nobody was given a cookie")


def visits(edge: Edge, users: list[str], seconds: float) -> dict[str, list[str]]:
    """Requests of each user, once at least, by id."""
    made: defaultdict[str, list[str]] = defaultdict(list)
    end = time.monotonic() + seconds
    while True:
        for user in users:
            made[user].append(secrets.token_hex(8))
            answer = edge.get(search(), Cookie=f"{COOKIE}={user}", X_Request_ID=made[user][-1])
            assert answer.status == 200 and answer.headers["Set-Cookie"] is None
        if time.monotonic() >= end:
            return made


def pools(lab: Lab) -> dict[str, str]:
    """Which pool answered which request of late, as every edge host has logged it."""
    found = {}
    for name in lab.hosts:
        # As long as the longest release takes; a host without an edge has no such log.
        command = f"docker logs --since 15m {lab.stack['name']}-edge-1 2>/dev/null || true"
        for line in lab.hosts[name].check_output(command).splitlines():
            if line.startswith("{"):
                told = json.loads(line)
                found[told["request_id"]] = told["pool"]
    return found
