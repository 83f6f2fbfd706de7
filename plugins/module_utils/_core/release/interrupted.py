"""What a run that died half-way left serving, before another release comes: decisions, pure.

A rollout retires old replicas while new ones take over. Where it died, the pool on record as live may lack
replicas, or have none, and users are with the other one: that one must not be emptied to make room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..stack.model_service import Service
from .fleet import Change, Seen, change, emptied, fewest_old
from .stage_moves import Move, names
from .way_back import plan_back

Fleet = Mapping[str, Mapping[str, Seen]]


def settle(services: Sequence[Service], seen: Fleet, release: str) -> tuple[list[Move], Fleet]:
    """Moves after which each live pool has all its replicas and the traffic, and what is seen then.

    Where the other pool is whole, it is the live one from now on. Else the interrupted rollout is undone.
    """
    found = [change(service, seen[service.name], release) for service in services]
    torn = [it for it in found if it and _is_torn(it, seen[it.service.name])]
    kept = [it for it in torn if _is_whole(it, seen[it.service.name])]
    undone = [it for it in torn if it not in kept]
    moves = []
    if kept:
        title = f"make {names(kept)} live as an interrupted run left it"
        moves.append(
            Move("promote", title, {it.service.name: {"pool": it.new, "warm": False} for it in kept})
        )
    moves += plan_back([it.service for it in undone], seen)
    after = {it.service.name: _kept(it, seen[it.service.name]) for it in kept}
    after |= {it.service.name: _undone(it, seen[it.service.name]) for it in undone}
    return moves, {**seen, **after}


def _is_torn(it: Change, seen: Mapping[str, Seen]) -> bool:
    """Whether users are with a release that is neither live nor to come, and the live one lacks replicas."""
    short = fewest_old(it, seen) < it.old_replicas
    served = not it.service.is_worker and _has_traffic(it.new, seen)
    return it.foreign and bool(it.before) and short and served


def _has_traffic(pool: str, seen: Mapping[str, Seen]) -> bool:
    """By the routers; where none could be asked, whatever runs."""
    asked = [told.weights for told in seen.values() if told.weights]
    if asked:
        return any(weights.get(pool) for weights in asked)
    return any(told.running[pool] for told in seen.values())


def _is_whole(it: Change, seen: Mapping[str, Seen]) -> bool:
    releases = {told.releases.get(it.new, "") for told in seen.values()}
    return (
        len(releases) == 1
        and "" not in releases
        and all(told.running[it.new] >= it.old_replicas for told in seen.values())
    )


def _kept(it: Change, seen: Mapping[str, Seen]) -> dict[str, Seen]:
    return {
        host: replace(
            told,
            live=it.new,
            changed=f"an interrupted run left release {told.releases[it.new]}",
            defined=it.old_replicas,
            warm=False,
        )
        for host, told in seen.items()
    }


def _undone(it: Change, seen: Mapping[str, Seen]) -> dict[str, Seen]:
    old = {host: it.old_replicas if told.had(it.old) else 0 for host, told in seen.items()}
    return {
        host: replace(
            told,
            live=it.old,
            running={**told.running, it.old: old[host]},
            there={**told.there, it.old: old[host]},
            releases={pool: of for pool, of in told.releases.items() if pool != it.new},
            weights={it.old: 100, it.new: 0} if told.weights else {},
        )
        for host, told in emptied(seen, it.new).items()
    }
