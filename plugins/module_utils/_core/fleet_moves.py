"""Moves of the whole fleet to bring its services to a release, or back, in order: decisions, pure.

Every move is one step that all hosts take together. What runs decides, so that a run that died is
continued: a free pool that holds the wanted release is taken further, one that holds another is emptied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from .fleet import Change, Seen, agreed_live, change
from .model import Service
from .rollout import Pools, Stage, back, forward, settled
from .rollout_text import describe
from .stage_moves import UNKNOWN, Move, held, names, walk
from .topology import POOLS


@dataclass
class FleetPlan:
    """`moves` before the edge is brought to the release, `closing` after it; `lines` explain both beforehand.

    `changes`: what `plan_back` takes back when a move fails.
    """

    moves: list[Move] = field(default_factory=list)
    closing: list[Move] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def plan_forward(
    services: Sequence[Service], seen: Mapping[str, Mapping[str, Seen]], release: str
) -> FleetPlan:
    """`seen`: service -> host -> what was found there."""
    plan = FleetPlan()
    lives = {service.name: agreed_live(seen[service.name], release) for service in services}
    split = {
        name: live for name, live in lives.items() if len({host.live for host in seen[name].values()}) > 1
    }
    if split:
        plan.moves.append(
            Move("promote", "settle which pools are live, as an interrupted run left them", split)
        )
    found = [(service, change(service, seen[service.name], release)) for service in services]
    plan.changes = [it for _service, it in found if it]
    here = {
        name: {host: replace(told, live=lives[name]) for host, told in hosts.items()}
        for name, hosts in seen.items()
    }
    plan.moves += _tidy([(service, here[service.name]) for service, it in found if it and it.foreign])
    settled_services = [(service, here[service.name]) for service, it in found if not it]
    plan.moves += [*_fill(settled_services, release), *_tidy(settled_services)]
    for strategy, group in groupby(plan.changes, key=lambda it: it.service.strategy):
        changes = list(group)
        plan.moves += _roll(changes, seen, release)
        plan.lines += [line for it in changes for line in describe(it.service, strategy, _way(it))]
    plan.closing = _close(plan.changes, release)
    return plan


def plan_back(services: Sequence[Service], seen: Mapping[str, Mapping[str, Seen]]) -> list[Move]:
    """From wherever a rollout has come to the old release alone. A host that is lost is not in `seen`."""
    moves: list[Move] = []
    found = [change(service, seen[service.name], "") for service in services]
    # Without an old release there is nothing to return to.
    changes = [it for it in found if it and it.before]
    for strategy, group in groupby(changes, key=lambda it: it.service.strategy):
        here = list(group)
        ways = {it.service.name: back(_furthest(it, seen), it.service.replicas, strategy) for it in here}
        moves += walk(here, ways, _extents(here, seen), "", batch=strategy.batch)
    if moves:
        live = {it.service.name: it.old for it in changes}
        moves.append(Move("promote", "keep the old replicas live", live))
    return moves


def _furthest(it: Change, seen: Mapping[str, Mapping[str, Seen]]) -> Pools:
    """The most new replicas and the fewest old ones that any host has."""
    hosts = seen[it.service.name].values()
    new = max(host.running[it.new] for host in hosts)
    old = min(host.running[it.old] for host in hosts)
    return Pools(new, min(old, it.service.replicas), 50 if new else 0)


def _extents(
    changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]]
) -> dict[str, tuple[Stage, Stage]]:
    """The fewest and the most replicas on any host; nobody knows what every router was told."""
    found = {}
    for it in changes:
        hosts = seen[it.service.name].values()
        low, high = (
            Stage(
                pick(host.running[it.new] for host in hosts),
                pick(host.running[it.old] for host in hosts),
                UNKNOWN,
            )
            for pick in (min, max)
        )
        found[it.service.name] = (low, high)
    return found


def _roll(changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]], release: str) -> Iterator[Move]:
    """Services of one strategy, stage by stage side by side; each stage is judged."""
    strategy = changes[0].service.strategy
    before = _extents(changes, seen)
    fresh = {it.service.name: {it.old: 100, it.new: 0} for it in changes if not it.observed.new}
    if fresh:
        yield Move("traffic", f"keep the traffic of {names(changes)} where it is", fresh)
        for name in fresh:
            low, high = before[name]
            # Foreign replicas in the free pool were retired before.
            before[name] = (replace(low, new=0, share=0), replace(high, new=0, share=0))
    ways = {it.service.name: _way(it) for it in changes}
    yield from walk(changes, ways, before, release, batch=strategy.batch, judged=True)


def _close(changes: Sequence[Change], release: str) -> list[Move]:
    """The watch window, while the old pools are still warm; then the new ones are live, and alone."""
    if not changes:
        return []
    moves = []
    watched = [it for it in changes if it.service.strategy.watch]
    last = {it.service.name: _way(it)[-1] for it in watched}
    if watched:
        seconds = max(it.service.strategy.watch for it in watched)
        title = f"watch {names(watched)} for {seconds} s"
        moves.append(Move("hold", title, held(watched, last), seconds=seconds))
    moves.append(Move("promote", f"make {names(changes)} live", {it.service.name: it.new for it in changes}))
    alone = {it.service.name: [settled(it.service.replicas)] for it in watched}
    moves += walk(watched, alone, {name: (stage, stage) for name, stage in last.items()}, release)
    return moves


def _way(it: Change) -> list[Stage]:
    return forward(it.observed, it.service.strategy, it.service.replicas)


def _fill(services: Sequence[tuple[Service, Mapping[str, Seen]]], release: str) -> Iterator[Move]:
    """Replicas that are missing where nothing has changed: a first deployment, a new host, a crash."""
    missing = {
        service.name: {"pool": host.live, "count": service.replicas, "release": release}
        for service, seen in services
        for host in seen.values()
        if host.running[host.live] < service.replicas
    }
    if missing:
        yield Move("start", f"start replicas: {', '.join(sorted(missing))}", missing)


def _tidy(services: Sequence[tuple[Service, Mapping[str, Seen]]]) -> Iterator[Move]:
    """What runs and should not: left by an interrupted run, or more replicas than are wanted."""
    stray, shrunk = {}, {}
    for service, seen in services:
        for host in seen.values():
            free = next(pool for pool in POOLS if pool != host.live)
            if host.running[free]:
                stray[service.name] = (host.live, free)
            if host.running[host.live] > service.replicas:
                shrunk[service.name] = {"pool": host.live, "count": service.replicas}
    if stray:
        shares = {name: {live: 100, free: 0} for name, (live, free) in stray.items()}
        yield Move("traffic", "send all the traffic to the live replicas", shares)
        gone = {name: {"pool": free, "count": 0} for name, (_live, free) in stray.items()}
        yield Move("retire", "retire what an interrupted run left behind", gone)
    if shrunk:
        yield Move("retire", f"retire surplus replicas: {', '.join(sorted(shrunk))}", shrunk)
