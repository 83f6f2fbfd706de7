"""Moves of the fleet, carried out on a world of hosts: never below capacity, and right from anywhere."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet import Seen, elsewhere
from ansible_collections.slipway.compose.plugins.module_utils._core.release.fleet_moves import (
    plan_forward,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.homeward import (
    returns,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.pools import ServicePools
from ansible_collections.slipway.compose.plugins.module_utils._core.release.way_back import (
    plan_back,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import (
    BUILT_IN,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import (
    POOLS,
)
from hypothesis import given
from hypothesis import strategies as st
from whole_stack import service

OLD, NEW = "r1", "r2"
HOSTS = ("a", "b", "c")
STRATEGIES = {**BUILT_IN, "batched": replace(BUILT_IN["rolling"], name="batched", batch=2)}


class World:
    """Replicas of one service by host and pool, each of a release; pools' weights; live pools by host.

    newcomers: hosts where nothing has ever run, and nothing of the first release is stored. elsewhere: what
    a host without the service has on record, where a Prometheus may run.
    """

    def __init__(self, replicas, release=OLD, newcomers=()):
        self.defined = replicas
        self.broken = ""
        self.newcomers = newcomers
        self.stored = {host: set() if host in newcomers else {release} for host in HOSTS}
        self.running = {
            host: {"blue": [] if host in newcomers else [release] * replicas, "green": []} for host in HOSTS
        }
        self.releases = {host: {} if host in newcomers else {"blue": release} for host in HOSTS}
        self.live = dict.fromkeys(HOSTS, "blue")
        self.elsewhere = ServicePools()
        self.warm = dict.fromkeys(HOSTS, False)
        self.weights = {"blue": 100, "green": 100}

    def seen(self, release):
        """What is asked of a release is asked once it is stored."""
        for stored in self.stored.values():
            stored.add(release)
        return {
            host: Seen(
                live=self.live[host],
                releases=self.releases[host],
                changed="" if self.as_wanted(host, release) else "definition",
                running={pool: self.well(host, pool) for pool in POOLS},
                there={pool: len(self.running[host][pool]) for pool in POOLS},
                weights=self.weights,
                defined=self.defined if self.releases[host] else 0,
                warm=self.warm[host],
            )
            for host in HOSTS
        }

    def well(self, host, pool):
        """Replicas that run; the others crash all the time."""
        return sum(release != self.broken for release in self.running[host][pool])

    def as_wanted(self, host, release):
        live = self.live[host]
        return {*self.running[host][live], self.releases[host].get(live, release)} <= {release}

    def take(self, move, host):
        told = move.services.get("web")
        if told is None:
            return
        if move.kind == "promote":
            self.live[host] = told["pool"]
            self.warm[host] = told["warm"]
        elif move.kind == "rest":
            assert not self.weights[told["pool"]], "what rests has traffic"
        elif move.kind == "start":
            pool, count = told["pool"], told["count"]
            self.warm[host] = self.warm[host] and pool == self.live[host]
            assert told["release"] in self.stored[host], "started from a release that is not stored there"
            kept = [release for release in self.running[host][pool] if release == told["release"]]
            assert kept == self.running[host][pool], "what runs would be replaced in place"
            self.running[host][pool] = [told["release"]] * max(count, len(kept))
            self.releases[host][pool] = told["release"]
        elif move.kind == "retire":
            pool = told["pool"]
            self.running[host][pool] = self.running[host][pool][: told["count"]]
            if not self.running[host][pool] and self.live[host] != pool:
                self.releases[host].pop(pool, None)
                self.warm[host] = False

    def run(self, moves, watch=lambda world: None):
        for move in moves:
            if move.kind == "traffic":
                self.weights |= move.services.get("web", {})
            if move.kind == "hold":
                self.hold(move)
            self.elsewhere = self.noted(move)
            for host in HOSTS:
                if not move.hosts or host in move.hosts:
                    self.take(move, host)
                watch(self)

    def noted(self, move):
        told = move.services.get("web")
        if not told or move.hosts:
            return self.elsewhere
        if move.kind == "traffic":
            return self.elsewhere.sharing(told)
        if move.kind == "promote":
            after = self.elsewhere.promoted(told["pool"], warm=told["warm"])
            return after.emptied(after.free)
        if move.kind == "retire" and not told["count"] and told["pool"] != self.elsewhere.live:
            return self.elsewhere.emptied(told["pool"])
        return self.elsewhere

    def hold(self, move):
        """What a gate expects to be up is there, and scraped."""
        told = move.services["web"]
        assert told["new"] in self.elsewhere.scraped
        for host in move.hosts or HOSTS:
            assert len(self.running[host][told["new"]]) >= told["replicas"], f"{host} had no turn yet"

    def serving(self):
        """Replicas that get traffic."""
        return sum(
            len(pools[pool]) for pools in self.running.values() for pool in POOLS if self.weights[pool]
        )

    def alone(self, release, replicas, *warm, without=()):
        """One release has the traffic; nothing else runs but what is kept warm, and that of one of these.

        without: hosts that have nothing of it.
        """
        live, free = self.runs_alone(release, replicas, *warm, without=without)
        assert self.weights[live] and not self.weights[free]
        assert self.elsewhere.scraped == {live}

    def runs_alone(self, release, replicas, *warm, without=()):
        """As `alone`, whatever traffic a pool without replicas would get; the live pool and the free one."""
        (live,) = {*self.live.values(), self.elsewhere.live}
        free = next(pool for pool in POOLS if pool != live)
        for host, pools in self.running.items():
            assert pools[live] == ([] if host in without else [release] * replicas)
        left = {told for pools in self.running.values() for told in pools[free]}
        assert left <= (set(warm) if any(self.warm.values()) else set())
        return live, free


def web(strategy, replicas):
    return replace(
        service("web", "/", "http", 20000, HOSTS),
        replicas=replicas,
        strategy=STRATEGIES[strategy],
    )


def forward(world, it, release=NEW):
    return plan_forward([it], {"web": world.seen(release)}, release, {"web": {world.elsewhere.live}})


strategies = st.sampled_from(sorted(STRATEGIES))
counts = st.integers(1, 5)
newcomers = st.sets(st.sampled_from(HOSTS), max_size=len(HOSTS) - 1)


def least(strategy, replicas, newcomers=()):
    """Replicas that serve at any time: all of them, one less where one stops first, none where all do."""
    every = replicas * (len(HOSTS) - len(newcomers))
    return {"recreate": 0, "stop_first": every - 1}.get(strategy, every)


@given(strategies, counts, counts, newcomers)
def test_a_rollout_ends_in_the_new_release_alone_and_never_serves_from_less(
    strategy, before, replicas, newcomers
):
    world, it = World(before, newcomers=newcomers), web(strategy, replicas)

    def watch(world):
        assert world.serving() >= least(strategy, min(before, replicas), newcomers)

    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing], watch)
    world.alone(NEW, replicas, OLD)
    again = forward(world, it)
    assert not again.moves and not again.closing


@given(strategies, counts, st.integers(0, 40), st.integers(0, 2), newcomers)
def test_a_run_that_died_anywhere_is_finished_by_the_next(strategy, replicas, survived, hosts, newcomers):
    world, it = World(replicas, newcomers=newcomers), web(strategy, replicas)
    interrupt(world, it, survived, hosts)
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    world.alone(NEW, replicas, OLD)


@given(strategies, counts, st.integers(0, 40), st.integers(0, 2), newcomers)
def test_a_run_that_died_anywhere_makes_room_for_another_release(
    strategy, replicas, survived, hosts, newcomers
):
    world, it = World(replicas, newcomers=newcomers), web(strategy, replicas)
    interrupt(world, it, survived, hosts)
    promised = min(world.serving(), least(strategy, replicas, newcomers))

    def watch(world):
        assert world.serving() >= promised

    plan = forward(world, it, "r3")
    world.run([*plan.moves, *plan.closing], watch)
    # Which of the two was live when the other run died depends on how far it had come.
    world.alone("r3", replicas, OLD, NEW)


@given(strategies, counts, st.integers(0, 40), st.integers(0, 2), newcomers)
def test_a_run_that_died_anywhere_is_undone_without_a_gap(strategy, replicas, survived, hosts, newcomers):
    world, it = World(replicas, newcomers=newcomers), web(strategy, replicas)
    interrupt(world, it, survived, hosts)
    promised = min(world.serving(), least(strategy, replicas, newcomers))

    def watch(world):
        assert world.serving() >= promised

    plan = forward(world, it, OLD)
    world.run([*plan.moves, *plan.closing], watch)
    world.runs_alone(OLD, replicas, NEW)


@given(strategies, counts, st.sampled_from(HOSTS))
def test_a_host_that_lacks_old_replicas_is_part_of_a_release_all_the_same(strategy, replicas, lacking):
    world, it = World(replicas), web(strategy, replicas)
    world.running[lacking]["blue"].pop()
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    world.alone(NEW, replicas, OLD)


@given(strategies, counts, st.sampled_from(HOSTS))
def test_a_host_that_begins_anew_brings_no_earlier_release_back(strategy, replicas, empty):
    world, it = World(replicas), web(strategy, replicas)
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    world.running[empty] = {"blue": [], "green": []}
    world.releases[empty], world.live[empty], world.warm[empty] = {}, "blue", False
    plan = forward(world, it)
    assert not any(move.kind == "traffic" and move.services["web"]["blue"] for move in plan.moves)
    assert all(move.services["web"]["pool"] == "green" for move in plan.closing if move.kind == "promote")


@given(strategies, counts, st.booleans())
def test_a_new_host_without_the_service_knows_the_live_pool_before_anything_moves(strategy, replicas, again):
    world, it = World(replicas), web(strategy, replicas)
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    world.elsewhere = ServicePools()
    plan = forward(world, it, "r3" if again else NEW)
    assert (plan.moves[0].kind, plan.moves[0].services["web"]["pool"]) == ("promote", "green")
    world.run([*plan.moves, *plan.closing])
    world.alone("r3" if again else NEW, replicas, OLD, NEW)


def test_what_took_over_from_an_emptied_pool_is_live_before_another_release_comes():
    world, it = World(2), web("rolling", 2)
    plan = forward(world, it)
    assert plan.closing[0].kind == "promote"
    world.run(plan.moves)
    third = forward(world, it, "r3")
    assert third.moves[0].kind == "promote" and third.moves[0].services == {
        "web": {"pool": "green", "warm": False}
    }
    assert third.lines[0] == "web: changed (an interrupted run left release r2)"
    world.run([*third.moves, *third.closing], lambda world: world.serving() >= 6)
    world.alone("r3", 2)


@given(strategies, counts, counts, st.integers(0, 40), newcomers)
def test_a_rollout_goes_back_from_anywhere_before_it_is_live(strategy, before, replicas, survived, newcomers):
    world, it = World(before, newcomers=newcomers), web(strategy, replicas)
    plan = forward(world, it)
    moves = [*plan.moves, *plan.closing]
    promotion = next(number for number, move in enumerate(moves) if move.kind == "promote")
    world.run(moves[: min(survived, promotion)])
    serving = world.serving()

    def watch(world):
        assert world.serving() >= min(serving, least(strategy, min(before, replicas), newcomers))

    world.run(plan_back([it], {"web": world.seen(NEW)}), watch)
    world.alone(OLD, before, without=newcomers)


@given(strategies, counts, st.integers(0, 40), newcomers)
def test_what_crashes_all_the_time_is_removed_like_what_runs(strategy, replicas, survived, newcomers):
    world, it = World(replicas, newcomers=newcomers), web(strategy, replicas)
    world.broken = NEW
    plan = forward(world, it)
    promotion = next(number for number, move in enumerate(plan.closing) if move.kind == "promote")
    world.run([*plan.moves, *plan.closing[:promotion]][:survived])
    world.run(plan_back([it], {"web": world.seen(NEW)}))
    world.alone(OLD, replicas, without=newcomers)


@given(counts, counts)
def test_a_pool_that_is_kept_warm_is_gone_back_to_by_moving_the_traffic(before, replicas):
    world, it = World(before), web("blue_green", replicas)
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    assert set(world.warm.values()) == {True}
    world.defined = replicas
    old = replace(it, replicas=before)
    back = plan_forward([old], {"web": world.seen(OLD)}, OLD)
    kinds = [move.kind for move in back.moves]
    assert kinds[0] == "traffic" and set(kinds) == {"traffic", "retire", "hold"}
    assert not any(move.seconds for move in [*back.moves, *back.closing])
    assert returns(back.changes) == {
        "web": {
            "old": "blue",
            "new": "green",
            "live": "green",
            "replicas": before,
        }
    }
    world.run([*back.moves, *back.closing], lambda world: world.serving() >= before)
    world.alone(OLD, before)


def test_a_warm_pool_that_is_not_whole_any_more_is_gone_back_to_step_by_step():
    world, it = World(2), web("blue_green", 2)
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    world.running["b"]["blue"].pop()
    back = plan_forward([it], {"web": world.seen(OLD)}, OLD)
    assert "start" in [move.kind for move in back.moves]
    assert returns(back.changes) == {}
    world.run([*back.moves, *back.closing])
    world.alone(OLD, 2, NEW)


def test_what_is_warm_waits_for_what_is_not():
    world, it = World(2), web("blue_green", 2)
    plan = forward(world, it)
    world.run([*plan.moves, *plan.closing])
    other = replace(it, name="api")
    seen = {"web": world.seen(OLD), "api": World(2, NEW).seen(OLD)}
    assert returns(plan_forward([it], {"web": seen["web"]}, OLD).changes)
    assert returns(plan_forward([it, other], seen, OLD).changes) == {}


def test_an_earlier_release_has_the_replicas_it_had():
    world, it = World(3, NEW), web("rolling", 3)
    seen = {host: replace(told, wanted=2) for host, told in world.seen(NEW).items()}
    assert [move.services["web"]["count"] for move in plan_forward([it], {"web": seen}, NEW).moves] == [2]


def interrupt(world, it, survived, hosts):
    """Carry out some moves, and one more on some hosts only."""
    plan = forward(world, it)
    moves = [*plan.moves, *plan.closing]
    world.run(moves[:survived])
    for move in moves[survived : survived + 1]:
        if move.kind == "traffic":
            world.weights |= deepcopy(move.services["web"])
        for host in HOSTS[:hosts]:
            world.take(move, host)


def test_an_unchanged_service_gets_no_move():
    plan = forward(World(2, NEW), web("rolling", 2))
    assert (plan.moves, plan.closing, plan.lines) == ([], [], [])


def test_what_is_through_is_looked_at_while_others_take_their_turn():
    """It has all of its users by then; the watch window may be minutes away."""
    first = web("rolling", 2)
    others = [replace(first, name="api", strategy=STRATEGIES["blue_green"])]
    plan = plan_forward([first, *others], {name: World(2).seen(NEW) for name in ("web", "api")}, NEW)
    own, *later = [move.services for move in plan.moves if move.kind == "hold"]
    assert set(own) == {"web"} and "again" not in own["web"]
    assert len(later) == 3
    assert all(told["web"] == {**own["web"], "again": True} and "again" not in told["api"] for told in later)


def test_fewer_replicas_are_retired_in_the_live_pool():
    world = World(3, NEW)
    world.weights = {"blue": 100, "green": 0}
    world.run(forward(world, web("rolling", 2)).moves)
    world.alone(NEW, 2)


@pytest.mark.parametrize(
    ("strategy", "kinds"),
    [
        pytest.param(
            "rolling",
            [
                "traffic",
                "start",
                "traffic",
                "retire",
                "start",
                "traffic",
                "retire",
                "hold",
            ],
            id="rolling",
        ),
        pytest.param(
            "blue_green",
            [
                "traffic",
                "start",
                "traffic",
                "hold",
                "traffic",
                "hold",
                "traffic",
                "hold",
            ],
            id="blue-green",
        ),
    ],
)
def test_moves_of(strategy, kinds):
    assert [move.kind for move in forward(World(2), web(strategy, 2)).moves] == kinds


def test_hosts_without_a_service_say_which_pool_they_take_for_the_live_one():
    new, known, serving = {"services": {}}, {"live": {"web": "green"}}, {"services": {"web": {}}}
    assert elsewhere("web", [known, serving]) == {"green"}
    assert elsewhere("web", [new, known]) == {"blue", "green"}
    assert elsewhere("web", [serving]) == set()
