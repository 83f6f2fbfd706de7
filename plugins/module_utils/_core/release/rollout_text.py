"""The stages of a release in the words an operator reads before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from ..stack.model_rollout import Strategy
from ..stack.model_service import Service
from ..stack.strategies import keeps_old
from .rollout import Pools, Stage

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def describe(
    service: Service, strategy: Strategy, stages: Sequence[Stage], observed: Pools | None = None
) -> list[str]:
    """One line a stage, and one for the watch window.

    observed: what the stages start from; None: from as many old replicas as there are to be new ones.
    """
    start = observed or Pools(0, service.replicas, None)
    before = Stage(start.new, start.old, start.share)
    where = "on each host" + (f" ({strategy.batch} at a time)" if strategy.batch else "")
    lines = []
    for number, stage in enumerate(stages):
        # Where an earlier run was interrupted nobody knows whether it had come to probe.
        fresh = stage.new and (not before.new or before.share == 0 or not number)
        probed = bool(service.probes and fresh)
        parts = _parts(before, stage, service, where, probed) or ["nothing to do"]
        lines.append(f"{service.name}: {', '.join(parts)}")
        before = stage
    if keeps_old(strategy) and before.new and before.old:
        old = _counted(before.old, before.old, "old")
        watched = [f"watch for {duration(strategy.watch)}"] if strategy.watch else []
        end = f"keep {old} warm" if strategy.warm else f"stop {old}"
        lines.append(f"{service.name}: {', then '.join([*watched, end])} {where}")
    return lines


def _parts(before: Stage, stage: Stage, service: Service, where: str, probed: bool) -> list[str]:
    """In the order in which it happens: start, probe, move the traffic, stop, judge."""
    started = _started(before.new, stage.new, service.replicas, "new") + _started(
        before.old, stage.old, stage.old, "old"
    )
    stopped = _stopped(before.new, stage.new, "new") + _stopped(before.old, stage.old, "old")
    to = "" if stage.new > before.new else " to the new replicas"
    return [
        *(f"start {text} {where}" for text in started),
        *(["probe through every edge host"] if probed else []),
        *([] if service.is_worker else _traffic(stage, to)),
        *(f"stop {text} {where}" for text in stopped),
        *([f"judge for {duration(stage.pause)}"] if stage.pause else []),
    ]


def _started(had: int, has: int, whole: int, pool: str) -> list[str]:
    return [_counted(has - had, whole, pool, " more" if had else "")] if has > had else []


def _stopped(had: int, has: int, pool: str) -> list[str]:
    return [_counted(had - has, had, pool)] if has < had else []


def _traffic(stage: Stage, to: str) -> list[str]:
    if not (stage.new and stage.old):
        return []
    if stage.share is None:
        return ["the same traffic for every replica"]
    amount = {0: "no traffic", 100: "all traffic"}.get(stage.share, f"{stage.share} % of the traffic")
    return [f"{amount}{to}"]


def _counted(count: int, whole: int, pool: str, more: str = "") -> str:
    if count == whole:
        return f"the {pool} replica" if whole == 1 else f"all {whole} {pool} replicas"
    return f"{count}{more} of {whole} {pool} replicas"


def duration(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}"
