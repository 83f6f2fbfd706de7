"""Memory that a rollout needs at once on each host, read from its moves: a decision, pure.

Limits are counted, not use: what a new replica may take is known beforehand, what it will take is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..checks.verdicts import size
from ..refusals import Refusal
from .fleet import Seen
from .plan import replica_of
from .stage_moves import Move

Pool = tuple[str, str]


@dataclass(frozen=True)
class Room:
    """What one host has: bytes of memory available now, and the limit of each replica that runs, by name."""

    available: int
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Peak:
    """Where the moves stand when they need the most: bytes and replicas of each service beyond those now."""

    bytes: int
    replicas: Mapping[str, int]


def peak(
    moves: Sequence[Move], host: str, seen: Mapping[str, Seen], room: Room, limits: Mapping[str, int]
) -> Peak:
    """`seen`: by service, as this host has it. `limits`: bytes of one replica in the new release."""
    counts = {(name, pool): count for name, told in seen.items() for pool, count in told.running.items()}
    sizes = {pool: limits[pool[0]] for pool in counts} | _sizes(room.limits)
    before, most = dict(counts), Peak(0, {})
    for move in moves:
        if move.kind not in ("start", "retire") or (move.hosts and host not in move.hosts):
            continue
        for name, told in move.services.items():
            if name not in seen:
                continue
            pool, count = (name, told["pool"]), told["count"]
            if move.kind == "retire":
                counts[pool] = min(counts[pool], count)
                continue
            counts[pool] = max(counts[pool], count)
            if told["release"] != seen[name].releases.get(pool[1]):
                sizes[pool] = limits[name]
        more = sum(counts[pool] * sizes[pool] for pool in counts) - _all(before, room.limits, limits)
        if more > most.bytes:
            most = Peak(more, _beyond(before, counts))
    return most


def shortfall(needed: Peak, room: Room) -> Refusal | None:
    if needed.bytes <= room.available:
        return None
    who = ", ".join(f"{name} +{count}" for name, count in sorted(needed.replicas.items()))
    return Refusal(
        "memory",
        f"{size(needed.bytes)} of memory are needed while old and new replicas run side by side ({who}), "
        f"{size(room.available)} are available",
        "Choose a strategy that starts fewer at once (`rolling`), lower `resources.memory`, or add memory",
    )


def _sizes(limits: Mapping[str, int]) -> dict[Pool, int]:
    found: dict[Pool, int] = {}
    for name, limit in limits.items():
        pool = replica_of(name)
        found[pool] = max(limit, found.get(pool, 0))
    return found


def _all(counts: Mapping[Pool, int], running: Mapping[str, int], limits: Mapping[str, int]) -> int:
    sizes = _sizes(running)
    return sum(count * sizes.get(pool, limits[pool[0]]) for pool, count in counts.items())


def _beyond(before: Mapping[Pool, int], now: Mapping[Pool, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pool, count in now.items():
        found[pool[0]] = found.get(pool[0], 0) + count - before[pool]
    return {name: count for name, count in found.items() if count > 0}
