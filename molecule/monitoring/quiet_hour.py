"""Use the lab and deploy to it for an hour, without any fault: no alert may fire.

The load is of every kind that clients make (molecule/default/tests/steady_load.py). Every few minutes a
release goes out, by one strategy after the other, of one service after the other. What fired is read from
Prometheus, which remembers it; an alert that was only pending is told, and is no failure. A request that
failed is one, and so is a deployment. SLIPWAY_LAB names the lab (lab).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edge import Edge
from fleet_under_test import Fleet, shorten_drains
from site_under_test import site_under_test
from steady_load import Load
from test_monitoring import ask

from lab import Lab

# None: as the service is declared, which is `rolling`.
STRATEGIES = (None, "quick_blue_green", "quick_canary", "at_once_and_warm")
SERVICES = ("api", "web", "journeys", "updates")
# What is kept warm is not stopped, so nobody tells its WebSockets and streams: they are cut at the drain's
# deadline (docs/releases.md).
ENDS_SESSIONS = {("at_once_and_warm", "updates"), ("at_once_and_warm", "journeys")}
# The lab's hosts see the machine's CPU, which whoever else works on it uses, too.
NOT_ITS_OWN = "HostCpuHigh"
# Signs of life: they fire as long as all is well.
NO_ALERT = "none"


def main() -> int:
    arguments = _arguments()
    lab, folder = Lab.load(os.environ.get("SLIPWAY_LAB") or "lab"), Path(tempfile.mkdtemp(prefix="quiet-"))
    fleet, wrong = Fleet(site_under_test(), lab, folder), list[str]()
    print(f"quiet-hour: {arguments.minutes:g} minutes, logs in {folder}", flush=True)
    begun = time.time()
    with Load(edge_of(lab, folder)) as load:
        for number, (strategy, service) in enumerate(turns(), 1):
            if time.time() - begun > 60 * arguments.minutes:
                break
            wrong += _deploy(fleet, number, strategy, service)
            print(f"     {load}", flush=True)
            _pause(begun + 60 * min(number * arguments.every, arguments.minutes))
    seconds = int(time.time() - begun)
    wrong += load.failures
    wrong += [f"fired: {it}" for it in told(_alerts(lab, "firing", seconds))]
    home = fleet.deploy()
    if home.status:
        wrong.append(f"the usual stack was not deployed again: {home.problem}")
    print(*(f"quiet-hour: pending: {it}" for it in told(_alerts(lab, "pending", seconds))), sep="\n")
    print(*(f"quiet-hour: WRONG: {it}" for it in wrong), sep="\n")
    print(f"quiet-hour: {number - 1} deployments in {seconds} s; {load}; {len(wrong)} wrong")
    return 1 if wrong else 0


def turns() -> Iterator[tuple[str | None, str]]:
    """Every strategy with every service, in turn, without end; but for what ends sessions by its own word."""
    every = (
        (STRATEGIES[(turn + shift) % len(STRATEGIES)], service)
        for shift in range(len(STRATEGIES))
        for turn, service in enumerate(SERVICES)
    )
    return itertools.cycle(one for one in every if one not in ENDS_SESSIONS)


def told(series: Sequence[Any]) -> list[str]:
    """What Prometheus remembers of alerts, as sentences: signs of life and what others cause left out."""
    kept = [
        one
        for one in series
        if one["metric"]["severity"] != NO_ALERT and one["metric"]["alertname"] != NOT_ITS_OWN
    ]
    return sorted(f"{json.dumps(one['metric'], sort_keys=True)}, {one['value'][1]} times" for one in kept)


def _deploy(fleet: Fleet, number: int, strategy: str | None, service: str) -> list[str]:
    stack = fleet.stack(service, {"QUIET_HOUR": str(number)}, **({"strategy": strategy} if strategy else {}))
    shorten_drains(stack)
    run = fleet.deploy(stack)
    clock = datetime.now(UTC).strftime("%H:%M:%S")
    kind = strategy or "as declared"
    print(f"{number:3d}  {clock} {service} ({kind}): status {run.status}, {run.seconds:.0f} s", flush=True)
    return [f"deployment {number} failed: {run.problem}"] if run.status else []


def _alerts(lab: Lab, state: str, seconds: int) -> Sequence[Any]:
    query = quote(f'count_over_time(ALERTS{{alertstate="{state}"}}[{seconds}s])')
    found: Sequence[Any] = ask(lab, f"query?query={query}")["result"]
    # Else it was not asked what it must know.
    assert state != "firing" or any(one["metric"]["severity"] == NO_ALERT for one in found)
    return found


def edge_of(lab: Lab, folder: Path) -> Edge:
    authority = folder / "ca.crt"
    first = next(iter(lab.hosts.values()))
    authority.write_text(first.check_output("cat /opt/%s/config/host/tls/ca.crt", lab.stack["name"]))
    return Edge(lab.stack["domain"], lab.https_port, lab.http_port, authority)


def _pause(until: float) -> None:
    time.sleep(max(until - time.time(), 0))  # the turn of the next deployment


def _arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(prog="quiet-hour", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60, help="how long (60)")
    parser.add_argument("--every", type=float, default=5, help="minutes from release to release (5)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
