"""A release that is worse than the one before goes back by itself; the old one serves all the time."""

from __future__ import annotations

import secrets

import pytest
from fleet_under_test import Fleet
from steady_load import Load

# A share of the traffic for some seconds, and a judgement.
STRATEGY = "quick_canary"


@pytest.mark.parametrize(
    ("misbehaviour", "told"),
    [
        pytest.param("crash_on_start", "api-", id="crashes-on-start"),
        pytest.param("never_ready", "is not ready", id="is-never-ready"),
        pytest.param("crash_after=6s", "api", id="crashes-after-a-while"),
        pytest.param("errors=0.5", "errors", id="fails-half-of-its-requests"),
        pytest.param("latency=1500ms", "slower", id="is-slow"),
    ],
)
def test_it_goes_back(fleet: Fleet, load: Load, misbehaviour: str, told: str) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    bad = {"MISBEHAVE": misbehaviour, "RELEASE_UNDER_TEST": secrets.token_hex(4)}
    run = fleet.deploy(fleet.stack("api", bad, strategy=STRATEGY, start_timeout="20s"))
    assert run.status != 0
    assert "ROLLED BACK" in run.output, run.problem
    assert told in run.output, run.problem
    assert fleet.assert_one_pool("api") == live
    assert fleet.current() == here
    # What was sent to the bad replicas may have failed; nothing else, and no more than its share.
    assert load.failed <= 0.15 * sum(load.counts[kind] for kind in ("page", "search", "echo")), load.failures
