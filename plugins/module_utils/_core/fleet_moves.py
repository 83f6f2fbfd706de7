"""Moves of the whole fleet to bring its services to a release, or back, in order: decisions, pure.

Every move is one step that all hosts take together. What runs decides, so that a run that died is
continued: a free pool that holds the wanted release is taken further, one that holds another is emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from .fleet import Change, Seen, agreed_live, as_released, change, observed
from .fleet_tidy import clear, fill, tidy
from .model_rollout import Strategy
from .model_service import Service
from .rollout import Pools, Stage, back, forward, settled
from .rollout_text import describe
from .stage_moves import UNKNOWN, Move, holds, names, served, walk


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
    services = [as_released(service, seen[service.name]) for service in services]
    lives = {service.name: agreed_live(seen[service.name], release) for service in services}
    split = {
        name: live for name, live in lives.items() if len({host.live for host in seen[name].values()}) > 1
    }
    if split:
        plan.moves.append(
            Move(
                "promote",
                "settle which pools are live, as an interrupted run left them",
                {
                    name: {
                        "pool": live,
                        "warm": any(it.warm for it in seen[name].values() if it.live == live),
                    }
                    for name, live in split.items()
                },
            )
        )
    found = [(service, change(service, seen[service.name], release)) for service in services]
    plan.changes = [it for _service, it in found if it]
    here = {
        name: {host: replace(told, live=lives[name]) for host, told in hosts.items()}
        for name, hosts in seen.items()
    }
    foreign = [(service, here[service.name]) for service, it in found if it and it.foreign]
    plan.moves += clear(foreign, "make room: retire replicas of another release")
    settled_services = [(service, here[service.name]) for service, it in found if not it]
    plan.moves += [*fill(settled_services, release), *tidy(settled_services)]
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
        live = {it.service.name: {"pool": it.old, "warm": False} for it in changes}
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
    """Batches of hosts, each through all stages; meanwhile every replica gets the same traffic.

    The very first new replicas of a service start without any, so that they can be probed before. A service
    is judged on its own hosts that have had their turn: the others' replicas are not there yet.
    """
    none_yet = judged and not any(
        told.there[it.new] for it in changes for told in seen[it.service.name].values()
    )
    equal = {it.service.name: {it.old: 100, it.new: 100} for it in served(changes)}
    if none_yet:
        yield from _kept(changes)
    else:
        yield from _traffic(f"the same traffic for every replica of {names(served(changes))}", equal)
    turned: tuple[str, ...] = ()
    begun: set[str] = set()
    for hosts in _batches(changes, seen):
        turned += hosts
        some = _of(hosts, seen)
        here = [it for it in changes if some[it.service.name]]
        extents = _extents(here, some) if release else _homewards(_extents(here, some))
        before = {}
        for name, (low, high) in extents.items():
            share = 0 if none_yet and name not in begun else None
            before[name] = (replace(low, share=share), replace(high, share=share))
        ways = {
            it.service.name: [replace(stage, share=None) for stage in way(it, some[it.service.name])]
            for it in here
        }
        where = {"hold": turned, **dict.fromkeys(("start", "probe", "retire", "stay"), hosts)}
        for move in walk(here, ways, before, release, judged=judged):
            yield replace(move, hosts=where.get(move.kind, ()))
        begun |= ways.keys()


def _kept(changes: Sequence[Change]) -> Iterator[Move]:
    yield from _traffic(f"keep the traffic of {names(served(changes))} where it is", _all_to(changes, "old"))


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
    """What was found on some hosts; nothing of a service that none of them has."""
    return {
        name: {host: told for host, told in there.items() if host in hosts} for name, there in seen.items()
    }


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
    yield from _kept(fresh)
    before = _extents(changes, seen)
    for it in fresh:
        low, high = before[it.service.name]
        # Foreign replicas in the free pool were retired before.
        before[it.service.name] = (replace(low, new=0, share=0), replace(high, new=0, share=0))
    ways = {it.service.name: _way(it) for it in changes}
    yield from walk(changes, ways, before, release, batch=strategy.batch, judged=True)


def _close(changes: Sequence[Change], release: str) -> list[Move]:
    """The watch window, while the old pools run; then the new ones are live, the others warm or gone."""
    if not changes:
        return []
    moves: list[Move] = []
    last = {it.service.name: _way(it)[-1] for it in changes}
    kept = [it for it in changes if last[it.service.name].old]
    watched = [it for it in kept if it.service.strategy.watch]
    # An idle worker would go on working.
    warm = [it for it in served(kept) if it.service.strategy.warm]
    if watched:
        seconds = max(it.service.strategy.watch for it in watched)
        title = f"watch {names(watched)} for {seconds} s"
        moves += holds(watched, last, seconds, title)
    moves.append(
        Move(
            "promote",
            f"make {names(changes)} live",
            {it.service.name: {"pool": it.new, "warm": it in warm} for it in changes},
        )
    )
    if warm:
        title = f"let the old replicas of {names(warm)} rest, warm"
        moves.append(Move("rest", title, {it.service.name: {"pool": it.old, "count": 0} for it in warm}))
    gone = [it for it in kept if it not in warm]
    alone = {it.service.name: [settled(it.service.replicas)] for it in gone}
    moves += walk(gone, alone, {name: (stage, stage) for name, stage in last.items()}, release)
    return moves


def _way(it: Change) -> list[Stage]:
    return forward(it.observed, it.service.strategy, it.service.replicas, it.old_replicas)
