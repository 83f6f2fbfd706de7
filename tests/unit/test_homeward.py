"""On the way back the traffic goes home first, where home can carry it."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release.homeward import (
    Home,
    homes,
    passable,
    send_home,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_address import Address
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import stack

OLD = {"h1": ["api-blue-1.h1", "api-blue-2.h1"], "h2": ["api-blue-1.h2", "api-blue-2.h2"]}
NEW = {"h1": ["api-green-1.h1", "api-green-2.h1"], "h2": ["api-green-1.h2", "api-green-2.h2"]}
HOME = Home("api", "blue", OLD, NEW)
EVERY_OLD = {*OLD["h1"], *OLD["h2"]}


class Told:
    """A router that finds some servers up and remembers what it was told."""

    def __init__(self, up, answers=True):
        self.address = Address("router on h1", "10.0.0.1", 9999)
        self.up = up
        self.answers = answers
        self.weights = {}

    def table(self):
        if not self.answers:
            raise SlipwayError("router on h1 does not answer", "Start it")
        return "1\n# head\n" + "".join(f"4 api 1 {server} 10.0.0.1 2 0 5\n" for server in self.up)

    def set_weights(self, wanted):
        self.weights |= wanted
        return True


@pytest.mark.parametrize(
    ("up", "carries"),
    [
        pytest.param(EVERY_OLD, True, id="all-old-replicas-serve"),
        pytest.param({*EVERY_OLD, "api-green-1.h1"}, True, id="a-canary-beside-them"),
        pytest.param({*OLD["h1"]}, True, id="a-host-is-lost-with-all-it-had"),
        pytest.param(EVERY_OLD - {"api-blue-2.h2"}, False, id="one-was-retired-already"),
        pytest.param({*OLD["h1"], *NEW["h2"]}, False, id="a-host-has-new-ones-only"),
        pytest.param({*NEW["h1"], *NEW["h2"]}, False, id="no-old-one-is-left"),
        pytest.param(set(), False, id="nothing-serves"),
    ],
)
def test_old_replicas_take_all_the_traffic_only_where_all_of_them_are_there(up, carries):
    assert HOME.carries(up) is carries


def test_a_router_is_told_and_what_it_was_told_is_kept():
    router, kept = Told(EVERY_OLD), []
    lines = send_home([router], [HOME], kept.append)
    assert lines == ["router on h1: all the traffic of api to the old replicas"]
    assert router.weights == dict.fromkeys(EVERY_OLD, 100) | dict.fromkeys([*NEW["h1"], *NEW["h2"]], 0)
    assert kept == [router]


def test_nothing_is_told_where_the_old_replicas_cannot_carry_it():
    router, kept = Told({*NEW["h1"]}), []
    assert send_home([router], [HOME], kept.append) == []
    assert not router.weights
    assert not kept


def test_a_silent_router_keeps_no_other_from_going_home():
    silent, other = Told(EVERY_OLD, answers=False), Told(EVERY_OLD)
    lines = send_home([silent, other], [HOME], lambda _router: None)
    assert lines[0] == "router on h1 does not answer"
    assert other.weights


def test_home_is_as_many_replicas_as_the_old_release_had():
    asked = {"old": "green", "new": "blue", "live": "green", "replicas": 1}
    (told,) = homes(topology(stack(3)), {"api": asked})
    assert (told["service"], told["live"]) == ("api", "green")
    assert [len(servers) for servers in told["old"].values()] == [1, 1, 1]
    assert [len(servers) for servers in told["new"].values()] == [2, 2, 2]
    assert all(server.endswith(host) for host, servers in told["old"].items() for server in servers)


def test_the_way_is_open_for_as_long_as_the_pool_that_served_when_it_was_planned_is_live():
    away, later = Home("api", "blue", OLD, NEW), Home("api", "green", OLD, NEW)
    assert passable([away, later], lambda _service: "blue") == [away]  # a release is under way
    assert passable([away, later], lambda _service: "green") == [later]  # it serves, the old one is warm


def test_nothing_is_told_without_routers():
    assert send_home([], [HOME], lambda _router: None) == []


def test_a_host_that_never_had_the_old_release_is_not_waited_for():
    new = {**NEW, "h3": ["api-green-1.h3"]}
    home = Home("api", "blue", {**OLD, "h3": []}, new)
    assert home.carries({*EVERY_OLD, *new["h3"]})
    assert not home.carries({*new["h3"]})


def test_home_is_where_the_old_release_was():
    told = {"old": "blue", "new": "green", "live": "blue", "replicas": 2, "veterans": ["h1.test", "h3.test"]}
    (home,) = homes(topology(stack()), {"api": told})
    assert [len(home[side][f"h{number}.test"]) for side in ("old", "new") for number in (1, 2, 3)] == [
        *(2, 0, 2),
        *(2, 2, 2),
    ]
