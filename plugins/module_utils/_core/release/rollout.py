"""A strategy's steps as stages every host goes through, onwards or back: decisions, pure.

A host reaches a stage by starting what is missing, then moving the traffic, then stopping what is too much.
The stages of strategies that stop first are such that in each of them replicas only start, or only stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from ..stack.model_rollout import Portion, Strategy, StrategyStep
from ..stack.strategies import keeps_old, stops_first


@dataclass(frozen=True)
class Stage:
    """What is true on every host of the service once it is reached.

    new, old: replicas on each host. share: percent of the traffic to the new pool; None: every replica gets
    the same. pause: seconds under judgement before the next stage.
    """

    new: int
    old: int
    share: int | None
    pause: int = 0


@dataclass(frozen=True)
class Pools:
    """What runs: replicas on the host that has the fewest, and the share as every router has it."""

    new: int
    old: int
    share: int | None


def stages(strategy: Strategy, replicas: int, old_replicas: int | None = None) -> list[Stage]:
    """From the old release alone to the new one, whose old pool is kept whole where the strategy keeps it.

    replicas: on each host in the new release. old_replicas: in the old one, if it differs; 0: there is none.
    After the watch window comes `settled`.
    """
    before = replicas if old_replicas is None else old_replicas
    if 0 in (replicas, before):
        return [settled(replicas)]
    found = [stage for step in by_step(strategy, replicas, before) for stage in step]
    if not keeps_old(strategy) and found[-1].old:
        found.append(settled(replicas))
    return _merged(found)


def settled(replicas: int) -> Stage:
    """The new release alone: what follows the watch window."""
    return Stage(replicas, 0, 100 if replicas else None)


def by_step(strategy: Strategy, replicas: int, old_replicas: int) -> list[list[Stage]]:
    """The stages each step expands to; the last one gives the new pool all traffic unless it says less."""
    found = []
    before = Stage(0, old_replicas, None)
    for step in strategy.steps:
        expanded = list(_expanded(step, before, replicas, old_replicas))
        before = expanded[-1] if expanded else before
        found.append(expanded)
    if before.share is None and before.old and before.new >= replicas:
        found[-1][-1:] = [replace(before, share=100)]
    return found


def forward(
    observed: Pools, strategy: Strategy, replicas: int, old_replicas: int | None = None
) -> list[Stage]:
    """What is left of a strategy: an interrupted run continues with it.

    The stage that runs is judged again, for nobody knows how much of its pause had passed. Missing old
    replicas are started again, unless the new pool has all traffic: then the old one was being retired.
    """
    planned = stages(strategy, replicas, old_replicas)
    if observed.new >= replicas and observed.old < planned[-1].old and _has_all_traffic(observed):
        return [settled(replicas)]
    reached = list(takewhile(lambda stage: _reached(observed, stage), planned))
    standing = len(reached) - 1
    if reached and standing + 1 < len(planned) and _beyond(observed, reached[-1]):
        standing += 1
    running = min(observed.new, replicas)
    return _merged(replace(stage, new=max(stage.new, running)) for stage in planned[max(standing, 0) :])


def back(observed: Pools, replicas: int, strategy: Strategy | None = None) -> list[Stage]:
    """To the old release alone: its pool whole, then all traffic, then the new pool gone.

    replicas: on each host in the old release. A strategy that stops first goes back the same way, so that
    its service never has more replicas than it may.
    """
    if strategy is not None and stops_first(strategy):
        return _merged([*_back_stopping_first(observed, replicas, strategy), Stage(0, replicas, 0)])
    home = [Stage(observed.new, replicas, observed.share)] if observed.old < replicas else []
    if observed.share != 0:
        home.append(Stage(observed.new, replicas, 0))
    return _merged([*home, Stage(0, replicas, 0)])


def _back_stopping_first(observed: Pools, replicas: int, strategy: Strategy) -> Iterator[Stage]:
    width = next((step.stop_first for step in strategy.steps if step.stop_first), None)
    if width is None:
        yield Stage(0, observed.old, None)
    else:
        turns = _stop_first(observed.new, observed.old, replicas, width)
        yield from (Stage(new, old, None) for new, old in turns)


def _expanded(step: StrategyStep, before: Stage, replicas: int, old_replicas: int) -> Iterator[Stage]:
    if step.surge:
        for new in _up(before.new, replicas, step.surge):
            yield Stage(new, min(before.old, replicas - new), None)
    elif step.stop_first:
        turns = _stop_first(before.old, before.new, replicas, step.stop_first)
        yield from (Stage(new, old, None) for old, new in turns)
    else:
        new = before.new if step.new is None else _rounded_up(step.new, replicas)
        old = before.old if step.old is None else _rounded_down(step.old, old_replicas)
        yield Stage(new, old, step.share, step.pause)


def _up(count: int, whole: int, width: int) -> Iterator[int]:
    """From a count to the whole, so many at a time; once at least, for the old ones may still be there."""
    while True:
        count = min(count + width, whole)
        yield count
        if count >= whole:
            return


def _stop_first(going: int, coming: int, whole: int, width: int) -> Iterator[tuple[int, int]]:
    """The counts of two pools that change places and are never more than the whole together."""
    while going or coming < whole:
        started = max(min(coming + width, whole - going), coming)
        if started != coming:
            coming = started
            yield going, coming
        kept = min(going, max(whole - coming - width, 0))
        if kept != going:
            going = kept
            yield going, coming


def _rounded_up(portion: Portion, whole: int) -> int:
    return min(-(-portion.amount * whole // 100) if portion.percent else portion.amount, whole)


def _rounded_down(portion: Portion, whole: int) -> int:
    return min(portion.amount * whole // 100 if portion.percent else portion.amount, whole)


def percent(pools: Pools | Stage) -> float:
    """Of the traffic, to the new pool; without replicas it gets none, whatever its weight."""
    if not pools.new:
        return 0
    return pools.share if pools.share is not None else 100 * pools.new / (pools.new + pools.old)


def _has_all_traffic(observed: Pools) -> bool:
    # Without old replicas on one host alone, the others' may still have their share.
    return observed.share == 100 or (observed.share is None and not observed.old)


def _reached(observed: Pools, stage: Stage) -> bool:
    counted = observed.new >= stage.new and observed.old <= stage.old
    return counted and (not _weighted(stage) or percent(observed) >= percent(stage))


def _beyond(observed: Pools, stage: Stage) -> bool:
    """Whether the way to the next stage had begun. Fewer old replicas prove nothing: they may crash."""
    heavier = _weighted(stage) and percent(observed) > percent(stage)
    return observed.new > stage.new or heavier


def _weighted(stage: Stage) -> bool:
    """Whether the stage says anything of the traffic that the numbers of replicas do not."""
    return stage.share is not None and stage.old > 0


def _merged(found: Iterable[Stage]) -> list[Stage]:
    """Stages that say the same become one, which takes as long as all of them."""
    merged: list[Stage] = []
    for stage in map(_one_sided, found):
        if merged and replace(stage, pause=0) == replace(merged[-1], pause=0):
            merged[-1] = replace(stage, pause=merged[-1].pause + stage.pause)
        else:
            merged.append(stage)
    return merged


def _one_sided(stage: Stage) -> Stage:
    """A pool that is empty has weight 0 as well: what is started in it later gets nothing unasked."""
    if stage.new and stage.old:
        return stage
    share = 100 if stage.new else 0 if stage.old else None
    return replace(stage, share=share)
