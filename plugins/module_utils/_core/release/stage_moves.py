"""From stage to stage: what all hosts do together so that a stage of each service is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import gt, lt
from typing import Any

from ..stack.strategies import RETURN
from .fleet import Change
from .rollout import Stage
from .shares import weights

# A share that nobody knows: whatever the routers were told, they are told again.
UNKNOWN = -1


@dataclass(frozen=True)
class Move:
    """One step of the fleet, or of some hosts (empty: all). `batch`: how many take it at once, 0 for all.

    A hold is one host's; its `hosts` are those that have what it judges.
    kind, and what `services` holds for each service: traffic {pool: weight}; start {pool, count, release};
    retire, rest and stay {pool, count}; probe and hold {new, old, replicas}; promote {pool, warm}.
    """

    kind: str
    title: str
    services: Mapping[str, Any]
    seconds: int = 0
    batch: int = 0
    hosts: tuple[str, ...] = ()


def walk(
    changes: Sequence[Change],
    ways: Mapping[str, Sequence[Stage]],
    before: Mapping[str, tuple[Stage, Stage]],
    release: str,
    *,
    batch: int = 0,
    judged: bool = False,
    done: Mapping[str, Any] | None = None,
) -> Iterator[Move]:
    """All services through their stages side by side; one with fewer stages waits at its last.

    done: what `held_again` says of services that are through already: looked at again with each judgement.
    """
    here = dict(before)
    length = max(map(len, ways.values()), default=0)
    for number in range(length):
        after = {name: way[number] for name, way in ways.items() if number < len(way)}
        moving = [it for it in changes if it.service.name in after]
        yield from _transition(moving, here, after, release, batch, probed=judged)
        pause = max(stage.pause for stage in after.values())
        if judged and (pause or number == length - 1):
            told = f" for {pause} s" if pause else ""
            waiting = [it for it in changes if it.service.name not in after]
            again = {
                **(done or {}),
                **held_again(waiting, {name: stages[0] for name, stages in here.items()}),
            }
            yield from holds(moving, after, pause, f"judge {names(moving)}{told}", again)
        here |= {name: (stage, stage) for name, stage in after.items()}


def _transition(
    changes: Sequence[Change],
    before: Mapping[str, tuple[Stage, Stage]],
    after: Mapping[str, Stage],
    release: str,
    batch: int,
    *,
    probed: bool,
) -> Iterator[Move]:
    """Start what is missing, probe what is new, move the traffic, retire what is too much."""
    least, most = ({name: stages[at] for name, stages in before.items()} for at in (0, 1))
    # A move knows one pool of a service. An old replica that was down is back before new ones come.
    for side in ("old", "new"):
        more = _changed(changes, side, least, after, gt)
        yield from _starts(more, side, release, batch)
    fresh = [it for it in changes if probed and _is_fresh(it, before, after)]
    if fresh:
        yield Move("probe", f"probe the new replicas of {names(fresh)}", held(fresh, after))
    moved = [
        it
        for it in served(changes)
        if _weights(it, after[it.service.name]) != _weights(it, before[it.service.name][0])
    ]
    if moved:
        shares = {
            it.service.name: dict(zip((it.new, it.old), _weights(it, after[it.service.name]), strict=True))
            for it in moved
        }
        yield Move("traffic", f"move traffic: {_shares(moved, after)}", shares)
    for side in ("new", "old"):
        fewer = _changed(changes, side, most, after, lt)
        yield from _retires(fewer, batch)


def _changed(
    changes: Sequence[Change],
    side: str,
    before: Mapping[str, Stage],
    after: Mapping[str, Stage],
    how: Callable[[int, int], bool],
) -> list[tuple[Change, str, int]]:
    """Pool and number of replicas on one side, of the services that have more, or less, than before."""
    return [
        (it, getattr(it, side), count)
        for it in changes
        if how(count := getattr(after[it.service.name], side), getattr(before[it.service.name], side))
    ]


def _starts(more: Sequence[tuple[Change, str, int]], side: str, release: str, batch: int) -> Iterator[Move]:
    if not more:
        return
    wanted = {
        it.service.name: {
            "pool": pool,
            "count": count,
            "release": release if pool == it.new and release else it.before,
        }
        for it, pool, count in more
    }
    told = ", ".join(f"{it.service.name} {pool} {count}/{it.service.replicas}" for it, pool, count in more)
    # Others have nothing of the release before.
    veterans = sorted({host for it, _pool, _count in more for host in it.veterans})
    hosts = tuple(veterans) if side == "old" else ()
    yield Move("start", f"start replicas: {told}", wanted, batch=batch, hosts=hosts)


def _retires(fewer: Sequence[tuple[Change, str, int]], batch: int) -> Iterator[Move]:
    if not fewer:
        return
    wanted = {it.service.name: {"pool": pool, "count": count} for it, pool, count in fewer}
    told = ", ".join(
        f"{it.service.name} {pool}" + (f" to {count}" if count else "") for it, pool, count in fewer
    )
    yield Move("retire", f"retire replicas: {told}", wanted, batch=batch)


def _is_fresh(it: Change, before: Mapping[str, tuple[Stage, Stage]], after: Mapping[str, Stage]) -> bool:
    """Whether new replicas are there that may never have had any traffic."""
    least, new = before[it.service.name][0], after[it.service.name].new
    # What is returned to has had all the traffic before.
    asked = it.service.probes and it.service.strategy != RETURN
    return bool(asked and new) and (least.new == 0 or least.share in (0, UNKNOWN))


def _weights(it: Change, stage: Stage) -> tuple[int, int]:
    if stage.share == UNKNOWN:
        return UNKNOWN, UNKNOWN
    return weights(stage.share, stage.new * it.hosts, stage.old * it.hosts)


def served(changes: Sequence[Change]) -> list[Change]:
    """Those that traffic is sent to."""
    return [it for it in changes if not it.service.is_worker]


def holds(
    changes: Sequence[Change],
    stage: Mapping[str, Stage],
    seconds: int,
    title: str,
    again: Mapping[str, Any] | None = None,
) -> Iterator[Move]:
    """Judge new pools: one host what has traffic or queries, every host its own workers.

    Only one of the two takes the time: replicas that fell meanwhile are found in a single look as well.
    again: see `held_again`; these are judged beside.
    """
    asked = [it for it in changes if not it.service.is_worker or it.service.gates.queries]
    workers = [it for it in changes if it.service.is_worker]
    stays = {it.service.name: {"pool": it.new, "count": stage[it.service.name].new} for it in workers}
    if served(changes):
        yield Move("hold", title, {**(again or {}), **held(asked, stage)}, seconds=seconds)
        if workers:
            yield Move("stay", f"see that {names(workers)} stayed up", stays)
    else:
        yield Move("stay", title, stays, seconds=seconds)
        if asked:
            yield Move("hold", f"ask the queries of {names(asked)}", held(asked, stage))
        if again:
            yield Move("hold", f"look at {', '.join(again)} again", again)


def held(changes: Sequence[Change], stage: Mapping[str, Stage]) -> dict[str, dict[str, Any]]:
    return {
        it.service.name: {
            "new": it.new,
            "old": it.old,
            "replicas": stage[it.service.name].new,
        }
        for it in changes
    }


def held_again(changes: Sequence[Change], stage: Mapping[str, Stage]) -> dict[str, dict[str, Any]]:
    """What has passed its own judgement and has users: it may fall while others take their turn.

    Too few requests in the meantime are no reason to go back.
    """
    return {name: {**told, "again": True} for name, told in held(served(changes), stage).items()}


def names(changes: Sequence[Change]) -> str:
    return ", ".join(it.service.name for it in changes)


def _shares(changes: Sequence[Change], stage: Mapping[str, Stage]) -> str:
    told = []
    for it in changes:
        share = stage[it.service.name].share
        told.append(
            f"{it.service.name} by number of replicas"
            if share is None
            else f"{it.service.name} {share} % new"
        )
    return ", ".join(told)
