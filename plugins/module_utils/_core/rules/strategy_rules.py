"""Rules a strategy keeps: each fault with the step it is in, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

from ..errors import Problem
from ..release.rollout import Stage, by_step, percent
from ..stack.model import Stack
from ..stack.model_rollout import Strategy, StrategyStep
from ..stack.strategies import ALL, BUILT_IN, keeps_old, stops_first

# What a strategy is judged with that no service uses: the default of `replicas`.
USUAL_REPLICAS = 2
# So many that every percentage of them is exact.
MANY_REPLICAS = 100


def strategy_faults(stack: Stack) -> Iterator[Problem]:
    """What is wrong with the user's own strategies, at the replicas of the services that use them."""
    for name, strategy in stack.strategies.items():
        path = f"stack/strategies/{name}"
        if name in BUILT_IN:
            remedy = f"Give yours another name, for example my-{name}"
            yield Problem(path, "is built in and cannot be redefined", remedy)
        else:
            users = {it.replicas for it in stack.services.values() if it.strategy == strategy}
            yield from faults(strategy, path, users)


def faults(strategy: Strategy, path: str, replicas: set[int]) -> Iterator[Problem]:
    """At most one a step: where one is wrong, the steps after it are read differently once it is right."""
    misshapen = [
        fault for index, step in enumerate(strategy.steps) for fault in _shape(step, f"{path}/steps/{index}")
    ]
    yield from misshapen
    if not misshapen:
        found = (list(_sequence(strategy, path, count)) for count in _tried(strategy, replicas))
        yield from next((problems for problems in found if problems), [])


def _tried(strategy: Strategy, replicas: set[int]) -> list[int]:
    used = sorted(replicas - {0}) or [USUAL_REPLICAS]
    portions = [portion for step in strategy.steps for portion in (step.new, step.old) if portion]
    return [*used, MANY_REPLICAS] if all(portion.percent for portion in portions) else used


def _shape(step: StrategyStep, path: str) -> Iterator[Problem]:
    others = {"new": step.new, "old": step.old, "share": step.share, "pause": step.pause or None}
    said = [name for name, value in others.items() if value is not None]
    macros = [name for name in ("surge", "stop_first") if getattr(step, name)]
    if not said and not macros:
        yield Problem(
            path, "says nothing", "Write what shall be true after it, for example {new: 1, share: 5}"
        )
    elif len(macros) == 2 or (macros and said):
        first, second = [*macros, *said][:2]
        yield Problem(path, f"has {first} and {second}, but {first} stands alone", "Make two steps of them")


def _sequence(strategy: Strategy, path: str, replicas: int) -> Iterator[Problem]:
    before = Stage(0, replicas, None)
    least = 0 if stops_first(strategy) else replicas
    for index, expanded in enumerate(by_step(strategy, replicas, replicas)):
        here = f"{path}/steps/{index}"
        found = (
            fault
            for earlier, stage in pairwise([before, *expanded])
            for fault in _stage_faults(earlier, stage, here, replicas, least)
        )
        yield from islice(found, 1)
        before = expanded[-1] if expanded else before
    yield from _end(strategy, before, path, replicas)


def _stage_faults(before: Stage, stage: Stage, path: str, replicas: int, least: int) -> Iterator[Problem]:
    yield from _counts(before, stage, path, replicas)
    yield from _share(before, stage, path)
    yield from _capacity(stage, path, replicas, least)


def _counts(before: Stage, stage: Stage, path: str, replicas: int) -> Iterator[Problem]:
    if stage.new < before.new:
        problem = f"is {stage.new} of {replicas} replicas, fewer than the {before.new} before"
        yield Problem(f"{path}/new", problem, f"Write {before.new} or more: new replicas only come")
    if stage.old > before.old:
        problem = f"is {stage.old} of {replicas} replicas, more than the {before.old} before"
        yield Problem(f"{path}/old", problem, f"Write {before.old} or less: old replicas only go")


def _share(before: Stage, stage: Stage, path: str) -> Iterator[Problem]:
    here = f"{path}/share"
    if stage.share and not stage.new:
        problem = f"is {stage.share}, but no new replica is there to take it"
        yield Problem(here, problem, "Write new: 1 or more, or share: 0")
    elif stage.share not in (None, 100) and stage.new and not stage.old:
        problem = f"is {stage.share}, but no old replica is left to take the rest"
        yield Problem(here, problem, "Write share: 100, or keep some with old")
    elif stage.new and percent(stage) < percent(before):
        unsaid = ", since every replica gets the same" if stage.share is None else ""
        problem = f"is {percent(stage):.3g}{unsaid}: less than the {percent(before):.3g} before"
        yield Problem(here, problem, f"Write {percent(before):.3g} or more, or less before")


def _capacity(stage: Stage, path: str, replicas: int, least: int) -> Iterator[Problem]:
    if _serving(stage) < least:
        problem = f"leaves {_serving(stage)} of {replicas} replicas with traffic"
        remedy = "Keep more with old, start more with new, or write {stop_first: 1} if that is meant"
        yield Problem(path, problem, remedy)


def _serving(stage: Stage) -> int:
    """Replicas that get traffic."""
    return (stage.new if percent(stage) > 0 else 0) + (stage.old if percent(stage) < 100 else 0)


def _end(strategy: Strategy, last: Stage, path: str, replicas: int) -> Iterator[Problem]:
    step, here = strategy.steps[-1], f"{path}/steps/{len(strategy.steps) - 1}"
    if last.new < replicas or (step.new is not None and step.new != ALL):
        yield Problem(f"{here}/new", "the last step does not end with the new pool whole", "Write new: 100%")
    elif step.share not in (None, 100):
        problem = f"is {step.share}, but after the last step the new release serves alone"
        yield Problem(f"{here}/share", problem, "Write 100, or add a step {share: 100}")
    elif keeps_old(strategy) and last.old < replicas:
        key = "watch" if strategy.watch else "warm"
        problem = (
            f"needs the old pool whole to go back to, but {last.old} of {replicas} replicas are left of it"
        )
        remedy = f"Remove {key}, or leave out old and surge, so that the old pool is kept"
        yield Problem(f"{path}/{key}", problem, remedy)
