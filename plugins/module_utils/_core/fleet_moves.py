"""Moves of the whole fleet to bring its services to a release, or back, in order: decisions, pure.

Every move is one step that all hosts take together. What runs decides, so that a run that died is
continued: a free pool that holds the wanted release is taken further, one that holds another is emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from .fleet import Change, Seen, agreed_live, change, observed
from .model import Service, Strategy
from .rollout import Pools, Stage, back, forward, settled
from .rollout_text import describe
from .stage_moves import UNKNOWN, Move, holds, names, served, walk
from .topology import POOLS


@dataclass
class FleetPlan:
    """`moves` before the edge is brought to the release, `closing` after it; `lines` explain both beforehand.

    `changes`: the services that are rolled out.
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
            Move(
                "promote",
                "settle which pools are live, as an interrupted run left them",
                split,
            )
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
        for it in changes:
            plan.lines.append(f"{it.service.name}: changed ({it.reason})")
            plan.lines += describe(it.service, strategy, _way(it), it.observed)
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

        def home(it: Change, there: Mapping[str, Seen], strategy: Strategy = strategy) -> list[Stage]:
            return back(_furthest(it, there), it.old_replicas, strategy)

        if _by_hosts(strategy):
            moves += _host_by_host(here, seen, "", home)
            moves += _traffic("send all the traffic to the old replicas", _all_to(here, "old"))
        else:
            ways = {it.service.name: home(it, seen[it.service.name]) for it in here}
            moves += walk(here, ways, _homewards(_extents(here, seen)), "", batch=strategy.batch)
    if changes:
        live = {it.service.name: it.old for it in changes}
        moves.append(Move("promote", "keep the old replicas live", live))
    return moves


def _by_hosts(strategy: Strategy) -> bool:
    """Whether some hosts go through all stages before the next ones begin.

    Where a stage has a share of the traffic, that is the whole fleet's: all hosts are in it together.
    """
    return bool(strategy.batch) and all(step.share is None for step in strategy.steps)


def _homewards(extents: Mapping[str, tuple[Stage, Stage]]) -> dict[str, tuple[Stage, Stage]]:
    """On the way back no new replica is started, also where it crashes."""
    return {name: (replace(low, new=high.new), high) for name, (low, high) in extents.items()}


def _host_by_host(
    changes: Sequence[Change],
    seen: Mapping[str, Mapping[str, Seen]],
    release: str,
    way: Callable[[Change, Mapping[str, Seen]], list[Stage]],
    judged: bool = False,
) -> Iterator[Move]:
    """Batches of hosts, each through all stages; meanwhile every replica gets the same traffic."""
    equal = {it.service.name: {it.old: 100, it.new: 100} for it in served(changes)}
    yield from _traffic(f"the same traffic for every replica of {names(served(changes))}", equal)
    for hosts in _batches(changes, seen):
        some = _of(hosts, seen)
        before = {
            name: (replace(low, share=None), replace(high, share=None))
            for name, (low, high) in (
                _extents(changes, some) if release else _homewards(_extents(changes, some))
            ).items()
        }
        ways = {
            it.service.name: [replace(stage, share=None) for stage in way(it, some[it.service.name])]
            for it in changes
        }
        for move in walk(changes, ways, before, release, judged=judged):
            yield replace(move, hosts=hosts) if move.kind in ("start", "retire", "stay") else move


def _batches(changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]]) -> list[tuple[str, ...]]:
    running: dict[str, int] = {}
    for it in changes:
        for host, told in seen[it.service.name].items():
            running[host] = running.get(host, 0) + sum(told.running.values())
    # Whoever has fewest comes first: there an interrupted run was at work.
    hosts = sorted(running, key=lambda host: (running[host], host))
    size = changes[0].service.strategy.batch
    return [tuple(hosts[at : at + size]) for at in range(0, len(hosts), size)]


def _traffic(title: str, shares: Mapping[str, Mapping[str, int]]) -> Iterator[Move]:
    """Nothing where all are workers."""
    if shares:
        yield Move("traffic", title, shares)


def _all_to(changes: Sequence[Change], side: str) -> dict[str, dict[str, int]]:
    return {
        it.service.name: {it.old: 100 if side == "old" else 0, it.new: 0 if side == "old" else 100}
        for it in served(changes)
    }


def _of(hosts: Sequence[str], seen: Mapping[str, Mapping[str, Seen]]) -> dict[str, dict[str, Seen]]:
    """What was found on some hosts; of a service that none of them has, what was found on the others."""
    found = {
        name: {host: told for host, told in there.items() if not hosts or host in hosts}
        for name, there in seen.items()
    }
    return {name: there or dict(seen[name]) for name, there in found.items()}


def _furthest(it: Change, seen: Mapping[str, Seen]) -> Pools:
    """The most new replicas and the fewest old ones that any host has."""
    new = max(host.there[it.new] for host in seen.values())
    old = min(host.running[it.old] for host in seen.values())
    return Pools(new, min(old, it.old_replicas), 50 if new else 0)


def _extents(
    changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]]
) -> dict[str, tuple[Stage, Stage]]:
    """The fewest and the most replicas on any host; nobody knows what every router was told."""
    found = {}
    for it in changes:
        hosts = seen[it.service.name].values()
        found[it.service.name] = (
            Stage(
                min(host.running[it.new] for host in hosts),
                min(host.running[it.old] for host in hosts),
                UNKNOWN,
            ),
            Stage(
                max(host.there[it.new] for host in hosts), max(host.there[it.old] for host in hosts), UNKNOWN
            ),
        )
    return found


def _roll(changes: Sequence[Change], seen: Mapping[str, Mapping[str, Seen]], release: str) -> Iterator[Move]:
    """Services of one strategy, stage by stage side by side; each stage is judged."""
    strategy = changes[0].service.strategy
    if _by_hosts(strategy):

        def way(it: Change, there: Mapping[str, Seen]) -> list[Stage]:
            return _way(replace(it, observed=observed(it, there)))

        yield from _host_by_host(changes, seen, release, way, judged=True)
        yield from _traffic(
            f"send all the traffic of {names(served(changes))} to the new replicas", _all_to(changes, "new")
        )
        return
    fresh = [it for it in changes if not it.observed.new]
    yield from _traffic(f"keep the traffic of {names(served(fresh))} where it is", _all_to(fresh, "old"))
    before = _extents(changes, seen)
    for it in fresh:
        low, high = before[it.service.name]
        # Foreign replicas in the free pool were retired before.
        before[it.service.name] = (replace(low, new=0, share=0), replace(high, new=0, share=0))
    ways = {it.service.name: _way(it) for it in changes}
    yield from walk(changes, ways, before, release, batch=strategy.batch, judged=True)


def _close(changes: Sequence[Change], release: str) -> list[Move]:
    """The watch window, while the old pools are still warm; then the new ones are live, and alone."""
    if not changes:
        return []
    moves: list[Move] = []
    watched = [it for it in changes if it.service.strategy.watch]
    last = {it.service.name: _way(it)[-1] for it in watched}
    if watched:
        seconds = max(it.service.strategy.watch for it in watched)
        title = f"watch {names(watched)} for {seconds} s"
        moves += holds(watched, last, seconds, title)
    moves.append(
        Move(
            "promote",
            f"make {names(changes)} live",
            {it.service.name: it.new for it in changes},
        )
    )
    alone = {it.service.name: [settled(it.service.replicas)] for it in watched}
    moves += walk(watched, alone, {name: (stage, stage) for name, stage in last.items()}, release)
    return moves


def _way(it: Change) -> list[Stage]:
    return forward(it.observed, it.service.strategy, it.service.replicas, it.old_replicas)


def _fill(services: Sequence[tuple[Service, Mapping[str, Seen]]], release: str) -> Iterator[Move]:
    """Replicas that are missing where nothing has changed: a first deployment, a new host, a crash."""
    missing = {
        service.name: {"pool": host.live, "count": service.replicas, "release": release, "confirmed": False}
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
            if host.there[free]:
                stray[service.name] = (host.live, free, service.is_worker)
            if host.there[host.live] > service.replicas:
                shrunk[service.name] = {"pool": host.live, "count": service.replicas}
    if stray:
        shares = {name: {live: 100, free: 0} for name, (live, free, worker) in stray.items() if not worker}
        yield from _traffic("send all the traffic to the live replicas", shares)
        gone = {name: {"pool": free, "count": 0} for name, (_live, free, _worker) in stray.items()}
        yield Move("retire", "retire what an interrupted run left behind", gone)
    if shrunk:
        yield Move("retire", f"retire surplus replicas: {', '.join(sorted(shrunk))}", shrunk)
