"""Replicas are renewed one at a time, out of the traffic, against routers that behave as HAProxy does."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Event

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.routing import rolling
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.rolling import (
    RollingReplica,
    roll,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_address import Address
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_state import (
    Order,
    ServerState,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.routers import Routers


class MemoryRouter:
    """A router whose servers are a dictionary and whose sessions end one per look."""

    def __init__(self, name, servers, journal):
        self.address = Address(name, "127.0.0.1", 0)
        self._servers = servers
        self._journal = journal

    def servers(self):
        seen = dict(self._servers)
        for name, state in seen.items():
            if state.status == "DRAIN" and state.sessions:
                self._servers[name] = replace(state, sessions=state.sessions - 1)
        return seen

    def orders(self):
        return {
            name: Order(state.backend, 100, state.status == "DRAIN") for name, state in self._servers.items()
        }

    def set_state(self, backend, server, state):
        self._journal.append(f"{self.address.name}: {server} {state}")
        status = {"drain": "DRAIN", "ready": "UP"}[state]
        self._servers[server] = replace(self._servers[server], status=status)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def journal():
    return []


def fleet(journal, sessions=0, count=2):
    servers = {f"web-blue-{index}.a": ServerState("web", "UP", sessions) for index in (1, 2)}
    clock = Clock()
    members = [MemoryRouter(f"edge-{number}", dict(servers), journal) for number in range(1, count + 1)]
    return Routers(members, clock, clock.sleep)


def replicas(count=2):
    return [
        RollingReplica(f"web-blue-{index}", "web", f"web-blue-{index}.a", 5, 5, {})
        for index in range(1, count + 1)
    ]


def test_each_replica_leaves_every_router_before_it_is_renewed_and_returns_before_the_next_leaves(journal):
    roll(
        replicas(),
        fleet(journal),
        renew=lambda replica: journal.append(f"renew {replica.name}"),
        wait_ready=lambda replica: journal.append(f"{replica.name} is ready"),
    )
    assert journal == [
        "edge-1: web-blue-1.a drain",
        "edge-2: web-blue-1.a drain",
        "renew web-blue-1",
        "web-blue-1 is ready",
        "edge-1: web-blue-1.a ready",
        "edge-2: web-blue-1.a ready",
        "edge-1: web-blue-2.a drain",
        "edge-2: web-blue-2.a drain",
        "renew web-blue-2",
        "web-blue-2 is ready",
        "edge-1: web-blue-2.a ready",
        "edge-2: web-blue-2.a ready",
    ]


def test_what_is_in_flight_ends_before_the_replica_is_touched(journal):
    turns = roll(replicas(1), fleet(journal, sessions=3), lambda replica: None, lambda replica: None)
    assert [turn.cut for turn in turns] == [0]


def test_a_session_that_never_ends_is_cut_at_the_deadline_and_counted(journal):
    turns = roll(
        replicas(1), fleet(journal, sessions=10_000, count=1), lambda replica: None, lambda replica: None
    )
    assert turns[0].cut > 0
    assert "cut at the drain deadline" in str(turns[0])


def test_a_replica_that_does_not_come_back_stays_out_and_the_rest_is_untouched(journal):
    def refuse(replica):
        raise SlipwayError(f"{replica.name} is never ready", "Look at its logs")

    with pytest.raises(
        SlipwayError,
        match="web-blue-1 did not come back and is kept out of the traffic: web-blue-1 is never ready",
    ):
        roll(replicas(), fleet(journal, count=1), lambda replica: None, refuse)
    assert journal == ["edge-1: web-blue-1.a drain"]


def test_a_router_that_still_finds_the_replica_down_is_named(journal):
    routers = fleet(journal, count=1)
    member = routers._routers[0]
    member.set_state = lambda backend, server, state: None
    member._servers["web-blue-1.a"] = ServerState("web", "DOWN", 0)
    with pytest.raises(SlipwayError, match="edge-1 still finds it down after 5 s"):
        roll(replicas(1), routers, lambda replica: None, lambda replica: None)


def test_a_replica_no_router_knows_yet_needs_no_drain(journal):
    unknown = [RollingReplica("new-blue-1", "new", "new-blue-1.a", 5, 5, {})]
    assert roll(unknown, fleet(journal), lambda replica: None, lambda replica: None)[0].cut == 0
    assert journal == []


def test_services_take_turns_side_by_side_but_never_two_replicas_of_one(journal):
    together = Barrier(2, timeout=60)
    pairs = [RollingReplica(f"{name}-blue-1", name, f"{name}-blue-1.a", 5, 5, {}) for name in ("web", "api")]
    turns = roll(pairs, fleet(journal), lambda replica: together.wait() and None, lambda replica: None)
    assert [str(turn) for turn in turns] == ["web-blue-1: drained", "api-blue-1: drained"]


def test_after_one_service_fails_another_begins_no_further_turn(journal, monkeypatch):
    halted = Event()
    monkeypatch.setattr(rolling, "Event", lambda: halted)
    renewed = []
    broken = RollingReplica("api-blue-1", "api", "api-blue-1.a", 5, 5, {})

    def renew(replica):
        if replica.service == "api":
            raise SlipwayError("api crashes", "Look at its logs")
        assert halted.wait(60)
        renewed.append(replica.name)

    with pytest.raises(SlipwayError, match="api-blue-1 did not come back"):
        roll([*replicas(2), broken], fleet(journal), renew, lambda replica: None)
    assert renewed == ["web-blue-1"]
