"""The plan of one host: every difference becomes one step, in an order that keeps things serving."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.release.plan import (
    PHASES,
    Observed,
    Unit,
    Wanted,
    plan,
)
from hypothesis import given
from hypothesis import strategies as st

NGINX = Unit("edge", "edge", "config/edge", "HUP")
ETCD = Unit("etcd", "data", "config/etcd")
ROUTER = Unit("router", "edge", "config/router", "USR2", early=True)


def replica(pool: str, index: int) -> Unit:
    return Unit(f"web-{pool}-{index}", "services", f"config/services/web-{pool}", service="web", pool=pool)


WEB = replica("blue", 1)
LIVE = {"": "blue", "web": "blue"}


@pytest.mark.parametrize(
    ("observed", "wanted", "expected"),
    [
        pytest.param({}, Wanted(NGINX, "h1", "c1"), ["create edge (not there)"], id="first-release"),
        pytest.param(
            {"edge": Observed("h1", "c1", True)}, Wanted(NGINX, "h1", "c1"), [], id="nothing-changed"
        ),
        pytest.param(
            {"edge": Observed("h1", "c1", False)},
            Wanted(NGINX, "h1", "c1"),
            ["start edge (not running)"],
            id="a-stopped-container-is-started",
        ),
        pytest.param(
            {"edge": Observed("h0", "c1", True)},
            Wanted(NGINX, "h1", "c1"),
            ["replace edge (definition h0 -> h1)"],
            id="a-new-image-replaces",
        ),
        pytest.param(
            {"edge": Observed("h1", "c0", True)},
            Wanted(NGINX, "h1", "c1"),
            ["reload edge (configuration c0 -> c1)"],
            id="a-new-configuration-reloads-what-can",
        ),
        pytest.param(
            {"etcd": Observed("h1", "c0", True)},
            Wanted(ETCD, "h1", "c1"),
            ["restart etcd (configuration c0 -> c1)"],
            id="and-restarts-what-cannot",
        ),
        pytest.param(
            {"web-blue-1": Observed("h1", "c1", True, admitted=False)},
            Wanted(WEB, "h1", "c1"),
            ["readmit web-blue-1 (an interrupted run left it out of the traffic)"],
            id="a-replica-left-out-of-the-traffic-is-let-back-in",
        ),
    ],
)
def test_a_difference_becomes_one_step(observed, wanted, expected):
    assert [str(step) for step in plan(observed, {wanted.unit.name: wanted}, LIVE)] == expected


def test_what_is_no_longer_declared_goes_last():
    steps = plan({"old": Observed("h", "c", True)}, {"web-blue-1": Wanted(WEB, "h", "c")}, LIVE)
    assert [str(step) for step in steps] == [
        "create web-blue-1 (not there)",
        "remove old (no longer declared)",
    ]


def pools(*units: Unit, hash: str = "h") -> dict[str, Wanted]:
    return {unit.name: Wanted(unit, hash, "c") for unit in units}


BOTH = [replica(pool, index) for pool in ("blue", "green") for index in (1, 2)]


@pytest.mark.parametrize(
    ("observed", "live", "expected"),
    [
        pytest.param(
            {}, "blue", ["create web-blue-1", "create web-blue-2"], id="only-the-live-pool-is-created"
        ),
        pytest.param({}, "green", ["create web-green-1", "create web-green-2"], id="whichever-it-is"),
        pytest.param({"web-blue-1": "h", "web-blue-2": "h"}, "blue", [], id="unchanged"),
        pytest.param({"web-blue-1": "h", "web-blue-2": "old"}, "blue", ["rollout web"], id="one-differs"),
        pytest.param(
            {"web-blue-1": "old"}, "blue", ["rollout web"], id="a-change-comes-before-a-missing-one"
        ),
        pytest.param({"web-blue-1": "h"}, "blue", ["create web-blue-2"], id="scaled-up"),
        pytest.param(
            {"web-blue-1": "h", "web-blue-2": "h", "web-blue-3": "h"},
            "blue",
            ["retire web-blue-3"],
            id="scaled-down",
        ),
        pytest.param(
            {"web-blue-1": "h", "web-blue-2": "h", "web-green-1": "x"},
            "blue",
            ["retire web-green-1"],
            id="leftover",
        ),
        pytest.param(
            {"api-blue-1": "h"},
            "blue",
            ["create web-blue-1", "create web-blue-2", "remove api-blue-1"],
            id="a-service-that-is-gone",
        ),
    ],
)
def test_a_changed_service_is_rolled_out_and_never_replaced_in_place(observed, live, expected):
    seen = {name: Observed(hash, "c", True) for name, hash in observed.items()}
    steps = plan(seen, pools(*BOTH), {"web": live})
    assert [f"{step.action} {step.service}" for step in steps] == expected


names = st.sampled_from(["edge", "etcd", "router", "gone"])
short = st.sampled_from(["a", "b", ""])
observations = st.dictionaries(names, st.builds(Observed, short, short, st.booleans(), st.booleans()))
units = {unit.name: unit for unit in (NGINX, ETCD, ROUTER)}
wishes = st.dictionaries(st.sampled_from(sorted(units)), st.tuples(short, short)).map(
    lambda chosen: {name: Wanted(units[name], *values) for name, values in chosen.items()}
)


def carried_out(observed, wanted, steps):
    """The world after the steps, as the engine would leave it."""
    world = dict(observed)
    for step in steps:
        if step.action == "remove":
            del world[step.service]
        else:
            world[step.service] = Observed(wanted[step.service].hash, wanted[step.service].config, True)
    return world


@given(observations, wishes)
def test_any_world_is_converged_by_one_plan_and_then_left_alone(observed, wanted):
    world = carried_out(observed, wanted, plan(observed, wanted, LIVE))
    assert world.keys() == wanted.keys()
    assert plan(world, wanted, LIVE) == []


@given(observations, wishes, st.integers(0, 5))
def test_a_run_that_dies_anywhere_is_finished_by_the_next(observed, wanted, survived):
    steps = plan(observed, wanted, LIVE)
    world = carried_out(observed, wanted, steps[:survived])
    assert plan(world, wanted, LIVE) == steps[survived:]


@given(observations, wishes)
def test_phases_never_interleave_and_removals_come_last(observed, wanted):
    order = [PHASES.index(step.phase) for step in plan(observed, wanted, LIVE)]
    assert order == sorted(order)


@given(observations, wishes)
def test_what_services_count_on_runs_before_they_move(observed, wanted):
    steps = plan(observed, wanted, LIVE)
    world = carried_out(observed, wanted, [step for step in steps if step.phase == "data"])
    assert "router" not in wanted or world["router"].running
    assert not any(step.service == "edge" for step in steps if step.phase == "data")


def test_a_router_that_runs_learns_of_a_release_after_its_services():
    (step,) = plan({"router": Observed("h", "c0", True)}, {"router": Wanted(ROUTER, "h", "c1")}, LIVE)
    assert (step.action, step.phase) == ("reload", "edge")
