"""Moves that give each pool of a service its traffic, beside those that go with a stage; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .fleet import Change
from .stage_moves import Move, names, served


def send_traffic(title: str, shares: Mapping[str, Mapping[str, int]]) -> Iterator[Move]:
    """Nothing where all are workers."""
    if shares:
        yield Move("traffic", title, shares)


def keep_traffic(changes: Sequence[Change]) -> Iterator[Move]:
    yield from send_traffic(
        f"keep the traffic of {names(served(changes))} where it is", all_traffic_to(changes, "old")
    )


def all_traffic_to(changes: Sequence[Change], side: str) -> dict[str, dict[str, int]]:
    return {
        it.service.name: {it.old: 100 if side == "old" else 0, it.new: 0 if side == "old" else 100}
        for it in served(changes)
    }
