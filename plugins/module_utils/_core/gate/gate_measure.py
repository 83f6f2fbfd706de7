"""Measure and judge services at a gate: counts and queries from Prometheus in, judgements out."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SlipwayError
from ..prometheus import Prometheus
from ..stack.model_rollout import Gates
from .edge_counts import EdgeCounts
from .gatekeeping import Judged, Measure, Watched, doubted, noted, only_queries, queried
from .judging import Sample, judge
from .memory_gate import judge_memory
from .memory_watch import MemoryWatch


def measuring(services: Sequence[Watched], prometheus: Prometheus, counts: EdgeCounts | None) -> Measure:
    """A measurement to be repeated. `counts`: None where there is no time to count in."""
    memory = MemoryWatch(prometheus.ask, [one.service for one in services if _measured(one.gates)])

    def measure() -> dict[str, Judged]:
        missing = _missing(counts) if counts else []
        memory.update()
        return {one.service: _judged(one, prometheus, counts, memory, missing) for one in services}

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
    one: Watched,
    prometheus: Prometheus,
    counts: EdgeCounts | None,
    memory: MemoryWatch,
    missing: Sequence[str],
) -> Judged:
    values, faults = queried(prometheus.value, one)
    before = memory.of(one.service, one.old) if one.old else []
    used = judge_memory(memory.of(one.service, one.new), before, one.gates, memory.seconds)
    if counts is None:
        judgement = judge(Sample(0, 0), None, only_queries(one.gates), values, used)
        return Judged(doubted(judgement, faults), Sample(0, 0), None, Sample(0, 0))
    new = counts.sample(one.service, one.new)
    old = counts.sample(one.service, one.old) if one.old else None
    judgement = doubted(
        judge(new, old, one.gates, values, used), [*faults, *(missing if counts_matter(one.gates) else [])]
    )
    unseen = [] if missing else counts.unseen()
    return Judged(noted(judgement, unseen), new, old, counts.sample(one.service, ""))


def counts_matter(gates: Gates) -> bool:
    return only_queries(gates) != gates


def _measured(gates: Gates) -> bool:
    return gates.memory < 100 or bool(gates.memory_lasts)


def _named(hosts: Sequence[str]) -> str:
    return f" (last seen: {', '.join(hosts)})" if hosts else ""
