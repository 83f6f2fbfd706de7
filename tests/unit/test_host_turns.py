"""Hosts that take turns are judged by what they have: what waits for its turn is missed by nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.gate import edge_probe_plan, gate_plan
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.server_watch import (
    Health,
    ServerWatch,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet import Seen
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet_moves import plan_forward
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import (
    Portion,
    ServiceProbe,
    Strategy,
    StrategyStep,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import stack, with_service

HEALTH = ServiceProbe("/ready", None, None, 2000)
BATCHED = replace(BUILT_IN["rolling"], batch=1)
PAUSED = Strategy("paused", (StrategyStep(new=Portion(1), pause=20), StrategyStep(surge=1)), batch=2)


class Fleet:
    """Replicas of every service by HAProxy's names, as moves start and retire them; one router sees all."""

    name = "router on h1.test"

    def __init__(self, declared, **strategies):
        for name, strategy in strategies.items():
            declared = with_service(declared, name, strategy=strategy, probes=(HEALTH,))
        self.topology = topology(declared)
        self.services = [declared.services[name] for name in strategies]
        self.all = {it.name: self.topology.replicas_of(it.name) for it in self.services}
        self.up = {it.server for its in self.all.values() for it in its if it.pool == "blue"}
        self.weights = {it.name: {"blue": 100, "green": 0} for it in self.services}

    def seen(self):
        return {
            it.name: {
                host: Seen(
                    "blue",
                    {"blue": "r1"},
                    "image",
                    {"blue": it.replicas, "green": 0},
                    {"blue": it.replicas, "green": 0},
                )
                for host in it.hosts
            }
            for it in self.services
        }

    def take(self, move):
        if move.kind == "traffic":
            for name, weights in move.services.items():
                self.weights[name] |= weights
        for name, told in move.services.items():
            for it in self.all[name] if move.kind in ("start", "retire") else ():
                if it.pool != told["pool"] or (move.hosts and it.host.name not in move.hosts):
                    continue
                if move.kind == "start" and it.index <= told["count"]:
                    self.up.add(it.server)
                if move.kind == "retire" and it.index > told["count"]:
                    self.up.discard(it.server)

    def health(self):
        every = [it.server for its in self.all.values() for it in its]
        return {it: Health("UP" if it in self.up else "DOWN", 0, "L4CON") for it in every}

    def alarms(self, move):
        """What the gate finds at once, told as plugins/action/gate.py tells it."""
        told = gate_plan.watched(self.topology, move.services, move.hosts).values()
        expected = {server for one in told for server in one["expected"]}
        assert expected, "a gate that looks at nothing"
        servers = {one["service"]: one["servers"] for one in told}
        return [alarm.problem for alarm in ServerWatch([self], servers, expected, looks_down=1).look()]

    def asked(self, move):
        """Servers that the move's probes are sent to, by service."""
        found = edge_probe_plan.probed(self.topology, move.services, move.hosts)
        return {one["service"]: set(one["servers"]) for one in found}


STRATEGIES = [
    pytest.param(BUILT_IN["stop_first"], id="stop-first"),
    pytest.param(BATCHED, id="rolling-in-batches"),
    pytest.param(PAUSED, id="a-pause-in-batches"),
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_host_whose_turn_has_not_come_is_not_waited_for(strategy):
    fleet = Fleet(stack(), web=strategy)
    holds = 0
    for move in plan_forward(fleet.services, fleet.seen(), "r2").moves:
        fleet.take(move)
        if move.kind == "hold":
            holds += 1
            assert fleet.alarms(move) == [], move.title
            assert fleet.asked(move)["web"] <= fleet.up
    assert holds >= 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_replica_that_fell_on_a_host_that_had_its_turn_is_missed(strategy):
    fleet = Fleet(stack(), web=strategy)
    for move in plan_forward(fleet.services, fleet.seen(), "r2").moves:
        fleet.take(move)
        if move.kind == "hold":
            fleet.up.discard("web-green-1.h1.test")
            (alarm, *_more) = fleet.alarms(move)
            assert alarm.startswith("web-green-1.h1.test is down on every router")


def apart():
    """Two services, on different hosts."""
    declared = stack()
    for name, hosts in (("web", ("h1.test", "h2.test")), ("api", ("h3.test",))):
        declared = with_service(declared, name, hosts=hosts)
    return declared


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_service_is_judged_on_the_turns_of_its_own_hosts_only(strategy):
    fleet = Fleet(apart(), web=strategy, api=strategy)
    judged = set()
    for move in plan_forward(fleet.services, fleet.seen(), "r2").moves:
        fleet.take(move)
        if move.kind == "hold":
            judged |= move.services.keys()
            assert fleet.alarms(move) == [], move.title
    assert judged == {"web", "api"}


@pytest.mark.parametrize("strategy", [BATCHED, PAUSED])
def test_the_first_replicas_of_each_service_are_probed_before_they_get_traffic(strategy):
    fleet = Fleet(apart(), web=strategy, api=strategy)
    first = set()
    for move in plan_forward(fleet.services, fleet.seen(), "r2").moves:
        fleet.take(move)
        if move.kind == "probe":
            for name, servers in fleet.asked(move).items():
                assert servers, "a probe that asks nobody"
                assert servers <= fleet.up
                if name not in first:
                    assert fleet.weights[name]["green"] == 0, f"{name} has traffic before its probe"
            first |= move.services.keys()
    assert first == {"web", "api"}
