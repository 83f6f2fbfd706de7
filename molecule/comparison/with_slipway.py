"""Slipway on the stack that stands there: `web` alone is released, through the environment's own edge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

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


@contextmanager
def slipway(site: Site, edge: Edge, logs: Path, pause: float) -> Iterator[list[Way]]:
    numbers = itertools.count(1)

    def run(playbook: str, version: str = "", strategy: str = "") -> None:
        variables = {"stack": compared(site.stack, version, strategy, pause)} if version else None
        log = logs / f"{next(numbers)}.log"
        done = site.deploy(log, variables, playbook=playbook)
        if done.status:
            raise ComparisonError(f"{playbook} ended with {done.status}: {done.problem}", f"Read {log}")

    def way(name: str, strategy: str, out: Floor, back: Floor) -> Way:
        return Way(
            name=name,
            connect=edge.connection,
            # Its commands end when every replica is ready, or not well.
            settle=lambda _version: None,
            changes=(
                release(partial(run, "deploy.yml", NEW, strategy), out),
                rollback(partial(run, "playbooks/rollback.yml", NEW, strategy), back),
            ),
        )

    try:
        run("deploy.yml", OLD, "rolling")
        round_of_starts = Floor(together=1)
        yield [
            way("Slipway, rolling", "rolling", round_of_starts, round_of_starts),
            way("Slipway, blue-green, kept warm", BLUE_GREEN, Floor(together=1, pauses=2 * pause), Floor()),
        ]
    finally:
        with undisturbed():
            run("deploy.yml")
