"""Every strategy brings a release out, and takes none of the requests that are made meanwhile."""

from __future__ import annotations

import secrets

import pytest
from fleet_under_test import Fleet, shorten_drains
from steady_load import Load


def mark() -> dict[str, str]:
    """What makes a service's definition another one, and changes nothing else."""
    return {"RELEASE_UNDER_TEST": secrets.token_hex(4)}


@pytest.mark.by_hand
@pytest.mark.parametrize("strategy", ["rolling", "quick_blue_green", "quick_canary"])
def test_a_release_drops_no_request(fleet: Fleet, load: Load, strategy: str) -> None:
    before, told = fleet.assert_one_pool("api"), mark()
    run = fleet.deploy(fleet.stack("api", told, strategy=strategy))
    assert run.status == 0, run.problem
    assert fleet.assert_one_pool("api") != before
    assert all({f"{name}={value}" for name, value in told.items()} <= seen for seen in fleet.variables("api"))
    assert load.failed == 0, load.failures


def test_all_services_at_once_and_back(fleet: Fleet, load: Load) -> None:
    here, stack = fleet.current(), fleet.site.stack
    shorten_drains(stack)
    for service in stack["services"].values():
        service["environment"] = service.get("environment", {}) | mark()
    run = fleet.deploy(stack)
    assert run.status == 0, run.problem
    assert fleet.current() != here
    for name, service in stack["services"].items():
        fleet.assert_one_pool(name, service["replicas"])
    back = fleet.rollback(stack)
    assert back.status == 0, back.problem
    assert fleet.current() == here
    for name, service in stack["services"].items():
        fleet.assert_one_pool(name, service["replicas"])
    assert load.failed == 0, load.failures


@pytest.mark.by_hand
def test_a_rollback_returns_to_the_release_before(fleet: Fleet, load: Load) -> None:
    first = fleet.deploy(fleet.stack("web", mark()))
    assert first.status == 0, first.problem
    here = fleet.current()
    assert fleet.deploy(fleet.stack("web", mark())).status == 0
    assert fleet.current() != here
    back = fleet.rollback()
    assert back.status == 0, back.problem
    assert fleet.current() == here
    fleet.assert_one_pool("web")
    assert load.failed == 0, load.failures


@pytest.mark.by_hand
def test_scaling_up_and_down(fleet: Fleet, load: Load) -> None:
    assert fleet.deploy().status == 0
    live = fleet.assert_one_pool("web")
    up = fleet.scale(web=3)
    assert up.status == 0, up.problem
    assert fleet.assert_one_pool("web", 3) == live, "an unchanged replica was replaced"
    assert fleet.scale(web=1).status == 0
    assert fleet.assert_one_pool("web", 1) == live
    assert fleet.deploy().status == 0
    assert fleet.assert_one_pool("web") == live, "the next deployment brings what is declared"
    assert load.failed == 0, load.failures
