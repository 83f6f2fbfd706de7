"""A release that is worse than the one before goes back by itself; the old one serves all the time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from edge import Edge
from fleet_under_test import Fleet
from site_under_test import Run
from steady_load import Load

# A share of the traffic for some seconds, and a judgement.
STRATEGY = "quick_canary"
STRATEGIES: dict[str, dict[str, Any]] = {
    # All the traffic at once; what shows later than that is for the watch window to find.
    "watched": {"steps": [{"new": "100%", "share": 100}], "watch": "45s"},
    # Growth is no evidence before it has lasted for a minute.
    "patient": {"steps": [{"new": 1, "share": 20, "pause": "80s"}, {"new": "100%", "share": 100}]},
    # Clients that wait for slow answers ask less: enough of them for a verdict take longer.
    "slow": {"steps": [{"new": 1, "share": 50, "pause": "40s"}, {"new": "100%", "share": 100}]},
    # Enough requests for a verdict also where the machine is slow; a clear one ends the pause at once.
    "judged": {
        "steps": [{"new": 1, "share": 50, "pause": "90s"}, {"new": "100%", "share": 100}],
        "watch": "60s",
    },
    "cautious": {
        "steps": [{"new": "100%", "share": 50, "pause": "12s"}, {"new": "100%", "share": 100}],
        "inconclusive": "rollback",
    },
    "bold": {"steps": [{"new": "100%", "share": 50, "pause": "12s"}, {"new": "100%", "share": 100}]},
}
# Nothing that crashes is waited for longer.
START_TIMEOUT = "60s"
SEARCH = "/api/journeys?from=Paris&to=Milan&date=2030-01-01"


def deployed(fleet: Fleet, *services: str, strategy: str = STRATEGY, **misbehaviour: str) -> Run:
    """A release in which some services are new and behave as they are told to."""
    stack = fleet.stack(services[0], {}, start_timeout=START_TIMEOUT)
    stack["strategies"] |= STRATEGIES
    for name in services:
        service = stack["services"][name]
        bad = {**misbehaviour, "RELEASE_UNDER_TEST": secrets.token_hex(4)}
        service |= {"environment": service.get("environment", {}) | bad, "strategy": strategy}
    return fleet.deploy(stack)


@pytest.mark.parametrize(
    ("misbehaviour", "strategy", "told"),
    [
        pytest.param("crash_on_start", STRATEGY, "api-", id="crashes-on-start", marks=pytest.mark.by_hand),
        pytest.param(
            "crash_after=30s",
            "watched",
            "down",
            id="crashes-after-30-s-in-the-watch-window",
            marks=pytest.mark.by_hand,
        ),
        pytest.param("errors=0.1", "judged", "errors", id="fails-a-tenth-of-its-requests"),
        pytest.param("leak=1MB/s", "patient", "has grown by", id="leaks-memory", marks=pytest.mark.by_hand),
    ],
)
def test_it_goes_back(fleet: Fleet, load: Load, misbehaviour: str, strategy: str, told: str) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    run = deployed(fleet, "api", strategy=strategy, MISBEHAVE=misbehaviour)
    assert_taken_back(fleet, run, told, live, here)
    # What was sent to the bad replicas may have failed; nothing else, and no more than its share.
    assert load.failed <= 0.15 * sum(load.counts[kind] for kind in ("page", "search", "echo")), load.failures


@pytest.mark.by_hand
def test_four_times_the_usual_time_goes_back(fleet: Fleet, load: Load, edge: Edge) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    # The rollout itself slows the old replicas down where all hosts share two cores: four times of that.
    late = max(3 * p95(edge), 0.6)
    run = deployed(fleet, "api", strategy="slow", MISBEHAVE=f"latency={late * 1000:.0f}ms")
    assert_taken_back(fleet, run, "slower_than_old", live, here)
    assert load.failed == 0, load.failures


@pytest.mark.by_hand
def test_without_enough_traffic_a_cautious_release_goes_back(fleet: Fleet, edge: Edge) -> None:
    services = ("api", "journeys")
    before, here = [fleet.assert_one_pool(name) for name in services], fleet.current()
    with trickle(edge) as answers:
        run = deployed(fleet, *services, strategy="cautious")
    assert_taken_back(fleet, run, "api (", before[0], here)
    assert "of at least 50 requests" in run.output, run.problem
    # No traffic at all: nobody has asked it anything.
    assert "journeys (" in run.output and "0 of 0 requests failed" in run.output, run.problem
    assert fleet.assert_one_pool("journeys") == before[1]
    assert answers and set(answers) == {200}


@pytest.mark.by_hand
def test_without_enough_traffic_a_bold_release_goes_on_and_says_so(fleet: Fleet, edge: Edge) -> None:
    services = ("api", "journeys")
    before = [fleet.assert_one_pool(name) for name in services]
    with trickle(edge) as answers:
        run = deployed(fleet, *services, strategy="bold")
    assert run.status == 0, run.problem
    assert all(fleet.assert_one_pool(name) != pool for name, pool in zip(services, before, strict=True))
    assert "inconclusive" in fleet.last_record(), fleet.last_record()
    assert answers and set(answers) == {200}


def test_what_cannot_be_pulled_or_does_not_fit_is_refused_with_all_reasons(fleet: Fleet, load: Load) -> None:
    web, here, runs = fleet.assert_one_pool("web"), fleet.current(), fleet.site.state()
    wrong = f"{fleet.image('web').partition('@')[0]}@sha256:{'0' * 64}"
    stack = fleet.stack("web", {}, image=wrong)
    del stack["services"]["web"]["build"]
    stack["services"]["api"] |= {"strategy": "blue_green", "resources": {"cpus": 0.5, "memory": "500G"}}
    for run in (fleet.deploy(stack, "--check"), fleet.deploy(stack)):
        assert run.status != 0
        assert f"stack/services/web/image: image {wrong} is not in its registry" in run.output, run.problem
        # What an earlier test has left of other services is rolled out beside it.
        assert "of memory are needed while old and new replicas run side by side (api +2" in run.output
        assert ", ".join(fleet.running("web")) in run.output, "every host is named"
        assert "ROLLED BACK" not in run.output
    assert (fleet.assert_one_pool("web"), fleet.current(), fleet.site.state()) == (web, here, runs)
    assert load.failed == 0, load.failures


def assert_taken_back(fleet: Fleet, run: Run, told: str, live: str, here: str) -> None:
    assert run.status != 0
    assert "ROLLED BACK" in run.output, run.problem
    assert told in run.output, run.problem
    assert fleet.assert_one_pool("api") == live
    assert fleet.current() == here


def p95(edge: Edge) -> float:
    """Seconds within which 95 % of some searches were answered, as the edge's clients see it."""
    connection, took = edge.connection(), []
    for _ in range(60):
        begun = time.monotonic()
        assert edge.request("GET", SEARCH, connection=connection).status == 200
        took.append(time.monotonic() - begun)
    connection.close()
    return sorted(took)[56]


@contextmanager
def trickle(edge: Edge) -> Iterator[list[int]]:
    """One request in five seconds; what they were answered with."""
    ended, answers = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            answers.append(edge.request("GET", SEARCH).status)
            ended.wait(5)

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield answers
    finally:
        ended.set()
        client.join(timeout=60)
