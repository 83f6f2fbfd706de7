"""A pool's share of the traffic as weights of its servers, and back."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import SlipwayError

HEAVIEST = 256  # the largest weight HAProxy knows
EQUAL = (100, 100)


def weights(share: int | None, new_total: int, old_total: int) -> tuple[int, int]:
    """HAProxy weights (0 to 256) of every server of the new and of the old pool.

    The pools have `new_total` and `old_total` servers in the fleet. A share of None means that every server
    gets the same. SlipwayError where nobody would be left to take the traffic.
    """
    if (share == 100 and not new_total and old_total) or (share == 0 and not old_total and new_total):
        raise SlipwayError(
            f"all traffic would go to the {'new' if share else 'old'} pool, which has no replica",
            "Start its replicas first: deploy again",
        )
    if share is None or (0 < share < 100 and 0 in (new_total, old_total)):
        return EQUAL
    if share in (0, 100):
        return share, 100 - share
    pairs = _pairs(share / (100 - share) * old_total / new_total)
    return min(pairs, key=lambda pair: abs(_percent(pair[0], pair[1], new_total, old_total) - share))


def share_of(new_weight: int, old_weight: int, new_total: int, old_total: int) -> int | None:
    """The share that servers' weights amount to, rounded to a percent; None where all weigh the same."""
    if new_weight == old_weight:
        return None
    return round(_percent(new_weight, old_weight, new_total, old_total))


def _percent(new_weight: int, old_weight: int, new_total: int, old_total: int) -> float:
    new, old = new_weight * new_total, old_weight * old_total
    return 100 * new / (new + old) if new + old else 0


def _pairs(ratio: float) -> Iterator[tuple[int, int]]:
    """Weights whose quotient is about the ratio, the heaviest first."""
    for weight in range(HEAVIEST, 0, -1):
        yield min(max(round(weight * ratio), 1), HEAVIEST), weight
