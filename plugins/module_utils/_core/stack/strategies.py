"""How a release replaces the one before, as data: the built-in strategies, and those read from input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..wording import did_you_mean, listed
from .model_rollout import GateQuery, Gates, Portion, Strategy, StrategyStep

ALL = Portion(100, percent=True)
HALF = Portion(50, percent=True)
NONE = Portion(0)
ONE = Portion(1)

BUILT_IN: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("rolling", (StrategyStep(surge=1),)),
        Strategy(
            "blue_green",
            (
                StrategyStep(new=ALL, share=10, pause=30),
                StrategyStep(new=ALL, share=50, pause=30),
                StrategyStep(new=ALL, share=100),
            ),
            watch=300,
            warm=True,
        ),
        Strategy(
            "canary",
            (
                StrategyStep(new=ONE, share=5, pause=60),
                StrategyStep(new=HALF, share=25, pause=60),
                StrategyStep(new=ALL, share=50, pause=60),
                StrategyStep(new=ALL, share=100),
            ),
            watch=300,
        ),
        Strategy("recreate", (StrategyStep(old=NONE), StrategyStep(new=ALL))),
        # One host after the other: where each has a single replica, all at once would stop the service.
        Strategy("stop_first", (StrategyStep(stop_first=1),), batch=1),
    )
}


# Back to a pool that still runs: it has been judged when it was live.
RETURN = Strategy("return", (StrategyStep(new=ALL, share=100),))


def keeps_old(strategy: Strategy) -> bool:
    """Whether the old pool stays whole when the new one has all the traffic."""
    return bool(strategy.watch) or strategy.warm


def stops_first(strategy: Strategy) -> bool:
    """Whether old replicas go before new ones come, so that a pool never stands beside the other whole."""
    first = strategy.steps[0]
    empties = first.old is not None and first.old.amount == 0
    starts_none = first.new is None or first.new.amount == 0
    return any(step.stop_first for step in strategy.steps) or (empties and starts_none)


def known_strategies(own: Mapping[str, Strategy]) -> dict[str, Strategy]:
    """The user's own beside the built-in ones, whose names stay theirs."""
    return {**own, **BUILT_IN}


def unknown_strategy(name: str, own: Mapping[str, Strategy]) -> tuple[str, str]:
    """Problem and remedy for a name that no strategy has."""
    known = known_strategies(own)
    remedy = f"{did_you_mean(name, known)}Known here: {listed(sorted(known))}"
    return f"{name} is not a strategy", f"{remedy}; declare your own under stack/strategies"


def strategy_from(name: str, given: Mapping[str, Any]) -> Strategy:
    """From a table as `schema_rollout.STRATEGY_TABLE` reads it."""
    return Strategy(name, **{**given, "steps": tuple(StrategyStep(**step) for step in given["steps"])})


def gates_from(given: Mapping[str, Any], protocol: str) -> Gates:
    """From a table as `schema_rollout.GATES` reads it.

    A WebSocket's request lasts as long as its session, so its time says nothing unless the user knows better.
    """
    usual = {} if protocol == "websocket" else {"p95": 2000, "p99": 5000, "slower_than_old": 2.0}
    chosen = {name: value for name, value in given.items() if value is not None}
    values = {"p95": None, "p99": None, "slower_than_old": None, **usual, **chosen}
    return Gates(**{**values, "queries": tuple(GateQuery(**query) for query in given["queries"])})
