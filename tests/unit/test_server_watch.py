"""A replica that falls, or keeps falling, ends a gate; one that stumbles does not."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.server_watch import (
    Health,
    ServerWatch,
    parse_health,
)

# As HAProxy 3.0 answers `show stat -1 4 -1`, with a part of its columns.
STATISTICS = """# pxname,svname,scur,status,weight,chkfail,chkdown,lastchg,type,check_status,last_chk,
api,api-blue-1.h1,3,UP,100,0,0,900,2,L7OK,,
api,api-green-1.h1,0,DRAIN,0,1,1,12,2,L7OK,,
api,api-green-2.h1,0,DOWN,100,4,2,3,2,L4CON,Connection refused,
web,web-blue-1.h1,0,no check,100,,,900,2,,,
api,BACKEND,0,UP,100,,,900,1,,,
"""
SERVERS = ("api-green-1.h1", "api-green-2.h1")


class Observed:
    """A router whose servers a test sets."""

    def __init__(self, name, *servers):
        self.name = name
        self.silent = False
        self.servers = {server: Health("UP", 0, "L7OK") for server in servers or SERVERS}

    def health(self):
        if self.silent:
            raise SlipwayError(f"{self.name} does not answer", "Start it")
        return dict(self.servers)

    def fall(self, server=SERVERS[0]):
        self.servers[server] = Health("DOWN", self.servers[server].falls + 1, "L4CON Connection refused")

    def rise(self, server=SERVERS[0]):
        self.servers[server] = Health("UP", self.servers[server].falls, "L7OK")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def routers():
    return [Observed("router on h1"), Observed("router on h2")]


def watching(routers, expected=(), **more):
    return ServerWatch(routers, {"api": SERVERS}, set(expected), **more)


def test_health_is_read_from_haproxys_statistics():
    assert parse_health(STATISTICS) == {
        "api-blue-1.h1": Health("UP", 0, "L7OK"),
        "api-green-1.h1": Health("DRAIN", 1, "L7OK"),
        "api-green-2.h1": Health("DOWN", 2, "L4CON Connection refused"),
        "web-blue-1.h1": Health("no check", 0, "no check yet"),
    }


def test_what_is_up_or_has_no_traffic_yet_is_well(routers):
    for router in routers:
        router.servers[SERVERS[0]] = Health("DRAIN", 0, "L7OK")
    watch = watching(routers, SERVERS)
    assert [watch.look() for _ in range(3)] == [[]] * 3


def test_a_server_that_is_down_on_every_router_for_two_looks_is_an_alarm(routers):
    watch = watching(routers)
    watch.look()
    for router in routers:
        router.fall()
    assert watch.look() == []
    (alarm,) = watch.look()
    assert (alarm.service, alarm.gate) == ("api", "servers")
    assert alarm.problem == "api-green-1.h1 is down on every router (router on h1: L4CON Connection refused)"
    assert alarm.remedy == "Read its logs: `docker logs` of api-green-1 on h1"


def test_a_server_that_is_up_again_in_between_is_none(routers):
    watch = watching(routers)
    watch.look()
    for router in routers:
        router.fall()
    watch.look()
    for router in routers:
        router.rise()
    watch.look()
    routers[0].servers[SERVERS[0]] = Health("DOWN", 1, "L7TOUT")
    assert watch.look() == watch.look() == []


def test_a_server_that_one_router_finds_up_is_none(routers):
    watch = watching(routers)
    watch.look()
    routers[0].fall()
    assert [watch.look() for _ in range(5)] == [[]] * 5


def test_the_second_fall_is_a_crash_loop_even_between_two_looks(routers):
    watch = watching(routers)
    watch.look()
    for _ in range(2):
        routers[1].fall()
        routers[1].rise()
    (alarm,) = watch.look()
    assert (
        alarm.problem
        == "api-green-1.h1 went down 2 times since the gate began (router on h2): it crashes or hangs"
    )


def test_falls_from_before_the_gate_do_not_count(routers):
    for _ in range(9):
        routers[0].fall()
    routers[0].rise()
    watch = watching(routers)
    assert watch.look() == watch.look() == []


def test_falls_are_counted_over_a_reload_of_the_router(routers):
    watch = watching(routers)
    for _ in range(5):
        routers[0].fall()
        routers[0].rise()
    watch.look()
    routers[0].fall()
    routers[0].rise()
    assert watch.look() == []
    routers[0].servers[SERVERS[0]] = Health("UP", 1, "L7OK")
    (alarm,) = watch.look()
    assert "went down 2 times" in alarm.problem


def test_replicas_that_do_not_run_are_not_missed(routers):
    for router in routers:
        router.fall(SERVERS[1])
    watch = watching(routers)
    assert [watch.look() for _ in range(3)] == [[]] * 3


def test_replicas_that_must_run_are_missed_from_the_first_look(routers):
    for router in routers:
        router.fall(SERVERS[1])
    watch = watching(routers, SERVERS, looks_down=1)
    (alarm,) = watch.look()
    assert alarm.problem.startswith("api-green-2.h1 is down on every router")


def test_a_pool_of_which_nothing_is_up_is_an_alarm(routers):
    for router in routers:
        router.fall(SERVERS[0])
        router.fall(SERVERS[1])
    (alarm,) = watching(routers).look()
    assert alarm.problem == "not one of api-green-1.h1, api-green-2.h1 is up on any router"


def test_a_server_that_no_router_knows_is_an_alarm(routers):
    for router in routers:
        del router.servers[SERVERS[0]]
    (alarm,) = watching(routers, SERVERS).look()
    assert alarm.problem == "no router knows api-green-1.h1"


def test_a_router_may_be_silent_while_it_reloads_but_not_for_longer(routers):
    clock = Clock()
    watch = watching(routers, clock=clock)
    watch.look()
    routers[1].silent = True
    routers[0].fall()
    for clock.now in (1.0, 2.0):
        assert watch.look() == []
    clock.now = 3.0
    (alarm,) = watch.look()
    assert (alarm.service, alarm.gate, alarm.problem) == ("", "routers", "router on h2 does not answer")


def test_a_router_that_answered_again_has_all_its_patience_back(routers):
    clock = Clock()
    watch = watching(routers, clock=clock)
    for clock.now, routers[1].silent in ((2.0, True), (3.0, False), (5.0, True)):
        assert watch.look() == []


def test_a_single_look_has_no_patience(routers):
    routers[1].silent = True
    assert len(watching(routers, looks_down=1, patience=0.0).look()) == 1


def test_no_router_no_alarm():
    assert watching([]).look() == []
