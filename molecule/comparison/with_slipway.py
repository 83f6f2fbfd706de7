"""Slipway on the stack that stands there: `web` alone is released, through the environment's own edge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from contender import NEW, OLD, Way, release, rollback
from edge import Edge
from reckoning import ComparisonError, Floor
from site_under_test import Site
from undisturbed import undisturbed

# The built-in one, with pauses that suit a comparison and without its five minutes of watch.
BLUE_GREEN = "compared_blue_green"


def compared(stack: Mapping[str, Any], version: str, strategy: str, pause: float) -> dict[str, Any]:
    """The inventory's stack with one replica of `web` on each host, like the other contenders."""
    seconds = f"{pause:g}s"
    steps = [
        {"new": "100%", "share": 10, "pause": seconds},
        {"new": "100%", "share": 50, "pause": seconds},
        {"new": "100%", "share": 100},
    ]
    web = dict(stack["services"]["web"])
    web["environment"] = {**web.get("environment", {}), "WAYFARE_VERSION": version}
    web |= {"replicas": 1, "strategy": strategy}
    return {
        **stack,
        "strategies": {BLUE_GREEN: {"steps": steps, "warm": True}},
        "services": {**stack["services"], "web": web},
    }


def shipped(name: str) -> Floor:
    """Of a built-in strategy: one round of starts, its pauses and its watch window."""
    strategy = BUILT_IN[name]
    return Floor(together=1, pauses=sum(step.pause for step in strategy.steps) + strategy.watch)


@contextmanager
def slipway(site: Site, edge: Edge, logs: Path, pause: float, as_shipped: bool) -> Iterator[list[Way]]:
    """as_shipped: the built-in strategies that pause, instead of those that suit a comparison."""
    numbers = itertools.count(1)

    def run(playbook: str, version: str = "", strategy: str = "") -> None:
        variables = {"stack": compared(site.stack, version, strategy, pause)} if version else None
        log = logs / f"{next(numbers)}.log"
        done = site.deploy(log, variables, playbook=playbook)
        if done.status:
            raise ComparisonError(f"{playbook} ended with {done.status}: {done.problem}", f"Read {log}")

    def way(name: str, strategy: str, out: Floor, back: Floor | None) -> Way:
        changes = [release(partial(run, "deploy.yml", NEW, strategy), out)]
        if back:
            changes.append(rollback(partial(run, "playbooks/rollback.yml", NEW, strategy), back))
        # Its commands end when every replica is ready, or not well.
        return Way(name, edge.connection, lambda _version: None, tuple(changes))

    start = Floor(together=1)
    try:
        run("deploy.yml", OLD, "rolling")
        if as_shipped:
            yield [
                way("Slipway, blue_green as shipped", "blue_green", shipped("blue_green"), Floor()),
                # The way back would take as long again.
                way("Slipway, canary as shipped", "canary", shipped("canary"), None),
            ]
        else:
            yield [
                way("Slipway, rolling", "rolling", start, start),
                way("Slipway, blue-green, kept warm", BLUE_GREEN, replace(start, pauses=2 * pause), Floor()),
            ]
    finally:
        with undisturbed():
            run("deploy.yml")
