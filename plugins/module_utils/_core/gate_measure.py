"""Measure and judge services at a gate: counts and queries from Prometheus in, judgements out."""

from __future__ import annotations

from collections.abc import Sequence

from .edge_counts import EdgeCounts
from .errors import SlipwayError
from .gatekeeping import Judged, Measure, Watched, doubted, noted, only_queries, queried
from .judging import Sample, judge
from .model import Gates
from .prometheus import Prometheus


def measuring(services: Sequence[Watched], prometheus: Prometheus, counts: EdgeCounts | None) -> Measure:
    """A measurement to be repeated. `counts`: None where there is no time to count in."""

    def measure() -> dict[str, Judged]:
        missing = _missing(counts) if counts else []
        return {one.service: _judged(one, prometheus, counts, missing) for one in services}

    return measure


def _missing(counts: EdgeCounts) -> list[str]:
    """Bring the counts up to date; say what stands in the way of it."""
    problem = "Prometheus scrapes no edge-log"
    try:
        counts.update()
    except SlipwayError as error:
        problem = error.problem
    # One answer that fails is made good by the next.
    return [f"{problem}{_named(counts.unseen())}"] if counts.blind else []


def _judged(
    one: Watched, prometheus: Prometheus, counts: EdgeCounts | None, missing: Sequence[str]
) -> Judged:
    values, faults = queried(prometheus.value, one)
    if counts is None:
        judgement = judge(Sample(0, 0), None, only_queries(one.gates), values)
        return Judged(doubted(judgement, faults), Sample(0, 0), None, Sample(0, 0))
    new = counts.sample(one.service, one.new)
    old = counts.sample(one.service, one.old) if one.old else None
    judgement = doubted(
        judge(new, old, one.gates, values), [*faults, *(missing if counts_matter(one.gates) else [])]
    )
    unseen = [] if missing else counts.unseen()
    return Judged(noted(judgement, unseen), new, old, counts.sample(one.service, ""))


def counts_matter(gates: Gates) -> bool:
    return only_queries(gates) != gates


def _named(hosts: Sequence[str]) -> str:
    return f" (last seen: {', '.join(hosts)})" if hosts else ""
