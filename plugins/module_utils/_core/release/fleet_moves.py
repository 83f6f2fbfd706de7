"""Moves of the whole fleet to bring its services to a release, in order: decisions, pure.

Every move is one step that all hosts take together. What runs decides, so that a run that died is
continued: a free pool that holds the wanted release is taken further, one that holds another is emptied,
once the live pool can do without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from ..stack.model_service import Service
from .extents import extents
from .fleet import Change, Seen, agreed_live, as_released, change, emptied, observed
from .fleet_tidy import clear, fill, tidy
from .host_turns import takes_turns, turn_by_turn
from .interrupted import settle
from .rollout import Stage, forward, settled
from .rollout_text import describe
from .stage_moves import Move, held_again, holds, names, served, walk
from .traffic_moves import all_traffic_to, keep_traffic, send_traffic


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
    services: Sequence[Service],
    seen: Mapping[str, Mapping[str, Seen]],
    release: str,
    others: Mapping[str, AbstractSet[str]] | None = None,
) -> FleetPlan:
    """`seen`: service -> host -> what was found there. `others`: service -> see `fleet.elsewhere`."""
    plan = FleetPlan()
    services = [as_released(service, seen[service.name]) for service in services]
    plan.moves, seen = settle(services, seen, release)
    lives = {service.name: agreed_live(seen[service.name], release) for service in services}
    told = {
        name: {host.live for host in seen[name].values()} | (others or {}).get(name, set()) for name in lives
    }
    split = {name: live for name, live in lives.items() if told[name] != {live}}
    if split:
        plan.moves.append(
            Move(
                "promote",
                "settle which pools are live: a host is new, or a run was interrupted",
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
    left = {it.service.name: emptied(seen[it.service.name], it.new) for it in plan.changes if it.foreign}
    settled_services = [(service, here[service.name]) for service, it in found if not it]
    plan.moves += [*fill(settled_services, release), *tidy(settled_services)]
    done: dict[str, Any] = {}
    for strategy, group in groupby(plan.changes, key=lambda it: it.service.strategy):
        changes = list(group)
        plan.moves += _roll(changes, {**seen, **left}, release, done)
        done |= held_again(changes, {it.service.name: _way(it)[-1] for it in changes})
        for it in changes:
            plan.lines.append(f"{it.service.name}: changed ({it.reason})")
            plan.lines += describe(it.service, strategy, _way(it), it.observed)
    plan.closing = _close(plan.changes, release)
    return plan


def _roll(
    changes: Sequence[Change],
    seen: Mapping[str, Mapping[str, Seen]],
    release: str,
    done: Mapping[str, Any],
) -> Iterator[Move]:
    """Services of one strategy, stage by stage side by side; each stage is judged, and so is what is done."""
    strategy = changes[0].service.strategy
    if takes_turns(strategy):

        def way(it: Change, there: Mapping[str, Seen]) -> list[Stage]:
            return _way(replace(it, observed=observed(it, there)))

        yield from turn_by_turn(changes, seen, release, way, judged=True)
        yield from send_traffic(
            f"send all the traffic of {names(served(changes))} to the new replicas",
            all_traffic_to(changes, "new"),
        )
        return
    fresh = [it for it in changes if not it.observed.new]
    yield from keep_traffic(fresh)
    before = extents(changes, seen)
    for it in fresh:
        low, high = before[it.service.name]
        before[it.service.name] = (replace(low, new=0, share=0), replace(high, new=0, share=0))
    ways = {it.service.name: _way(it) for it in changes}
    yield from walk(changes, ways, before, release, batch=strategy.batch, judged=True, done=done)


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
