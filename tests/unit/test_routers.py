"""All routers as one: every one of them confirms, and those of a lost host are not waited for twice."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_address import Address
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_state import (
    ServerState,
    parse_orders,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.routers import Routers
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.traffic import learn_orders
from test_rolling import Clock, MemoryRouter, fleet


class Lost:
    """A router of a lost host: whoever asks it waits until all that share the barrier are asked, too."""

    def __init__(self, name, side_by_side):
        self.address = Address(name, "10.0.0.1", 9999)
        self.asked = 0
        self._side_by_side = side_by_side

    def orders(self):
        self.asked += 1
        self._side_by_side.wait()
        raise SlipwayError(f"{self.address.name} does not answer", "Start it")

    servers = orders


def test_routers_of_a_lost_host_cost_one_time_limit_together_and_are_asked_once():
    both = threading.Barrier(2, timeout=30)
    lost = [Lost("router on h2", both), Lost("local-router on h2", both)]
    routers = Routers(lost, forgiving=True)
    assert routers.drain("api-blue-1.h1", 0) == 0
    assert routers.drain("api-blue-2.h1", 0) == 0
    assert [router.asked for router in lost] == [1, 1]


def test_a_silent_router_is_an_error_unless_it_may_be_passed_over():
    with pytest.raises(SlipwayError, match="router on h2 does not answer"):
        Routers([Lost("router on h2", threading.Barrier(1))]).drain("api-blue-1.h1", 0)


def test_a_replica_that_an_interrupted_run_left_out_is_noticed_on_any_router():
    routers = fleet([])
    routers._routers[1].set_state("web", "web-blue-2.a", "drain")
    assert {name for name, order in routers.orders().items() if order.left_out} == {"web-blue-2.a"}


class SilentRouter(MemoryRouter):
    """A router of a host that is lost."""

    asked = 0

    def servers(self):
        self.asked += 1
        raise SlipwayError("router on c does not answer", "Start it")

    orders = servers


@pytest.mark.parametrize("order", ["drain", "admit"])
def test_a_silent_router_is_an_error_unless_it_is_forgiven(order):
    journal = []
    servers = {"web-blue-1.a": ServerState("web", "UP", 2)}
    clock = Clock()
    silent, answering = SilentRouter("c", servers, journal), MemoryRouter("a", servers, journal)
    with pytest.raises(SlipwayError, match="router on c does not answer"):
        getattr(Routers([silent, answering], clock, clock.sleep), order)("web-blue-1.a", 5)
    silent.asked = 0
    getattr(Routers([silent, answering], clock, clock.sleep, forgiving=True), order)("web-blue-1.a", 5)
    assert journal[-1] == f"a: web-blue-1.a {'drain' if order == 'drain' else 'ready'}"
    assert silent.asked == 1, "waiting for it again and again costs the deadline"


class Telling:
    """A router that says what it was told: the weight of a pool that rests, or of one that is live."""

    def __init__(self, address, weight, answers=True):
        self.address = address
        self.weight = weight
        self.answers = answers

    def table(self):
        if not self.answers:
            raise SlipwayError(f"{self.address.name} does not answer", "Start it")
        return f"1\n# head\n4 web 1 web-blue-1.h1 10.0.0.1 0 8 {self.weight} 100\n"


OWN = Address("router on h3", "10.0.0.3", 9999)
SAME, OTHER = Address("router on h1", "10.0.0.1", 9999), Address("local-router on h1", "10.0.0.1", 9998)


def learned(root, *routers):
    learn_orders(root, "router", OWN, Routers(routers))
    kept = root / "state/router/servers"
    return parse_orders(kept.read_text())["web-blue-1.h1"] if kept.exists() else None


@pytest.mark.parametrize(
    ("routers", "weight"),
    [
        pytest.param([Telling(OTHER, 5), Telling(SAME, 7)], 7, id="one-of-its-kind-first"),
        pytest.param([Telling(OTHER, 0), Telling(SAME, 7, answers=False)], 0, id="then-any-that-answers"),
        pytest.param([Telling(OWN, 100), Telling(SAME, 0)], 0, id="not-what-it-says-itself"),
    ],
)
def test_a_router_that_starts_begins_with_what_the_others_send(tmp_path, routers, weight):
    found = learned(tmp_path, *routers)
    assert (found.weight, found.left_out) == (weight, False)


def test_where_no_other_answers_a_router_begins_with_what_it_has(tmp_path):
    assert learned(tmp_path, Telling(SAME, 7, answers=False)) is None
    assert learned(tmp_path, Telling(SAME, 7)).weight == 7
    assert learned(tmp_path, Telling(SAME, 0, answers=False)).weight == 7
