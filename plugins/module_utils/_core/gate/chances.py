"""The little statistics that judging needs: binomial chances, and shares and percentiles of a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence

# (upper bound, observations up to it), rising; the last bound is infinite.
Buckets = Sequence[tuple[float, float]]


def at_least(bad: int, of: int, share: float) -> float:
    """The chance of `bad` or more, when each is bad with the chance `share`; 1 where so many are expected."""
    if bad <= share * of:
        return 1.0
    if share <= 0:
        return 0.0
    odds = share / (1 - share)
    logarithm = (
        math.lgamma(of + 1)
        - math.lgamma(bad + 1)
        - math.lgamma(of - bad + 1)
        + bad * math.log(share)
        + (of - bad) * math.log1p(-share)
    )
    term = total = math.exp(logarithm)
    for count in range(bad, of):
        # Above the expected number every further term is smaller than the one before.
        term *= (of - count) / (count + 1) * odds
        total += term
        if term < total * 1e-12:
            break
    return min(total, 1.0)


def percentile(buckets: Buckets, share: float) -> float | None:
    """The value that a share of the observations is not above, interpolated as Prometheus does it."""
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    rank, lower, below = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        if not math.isinf(bound):
            lower, below = bound, count
    return lower


def fraction_above(buckets: Buckets, limit: float) -> float:
    """The share of observations above a limit: the other direction of `percentile`."""
    total = buckets[-1][1] if buckets else 0
    if not total:
        return 0.0
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if limit <= bound:
            # Of what is in the last bucket nothing says that it is above a limit within it.
            inside = 1.0 if math.isinf(bound) else (limit - lower) / (bound - lower)
            return 1 - (below + (count - below) * inside) / total
        lower, below = bound, count
    return 0.0
