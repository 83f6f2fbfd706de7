"""Bring about every critical alert that a lab can have, and measure until it was told, and until it was over.

Deploys the lab's stack with receivers on this machine (an SMTP server with STARTTLS, a webhook), lets the
faults of alert_cases befall it, follows each runbook to the letter, and deploys the usual stack again. Rules
wait as long as they do in production; what could not be waited for is made shorter by the stack's own
thresholds, and the table says so. Ends with status 1 where a message, or that of its end, was late.
SLIPWAY_LAB names the lab (lab).
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alert_case import Case
from alert_cases import CASES, ROUNDS
from alert_excused import NOT_DRILLED
from alert_hands import Hands
from alert_report import Outcome, failed, table
from alert_runner import Drill
from alert_sinks import MAPS, PASSWORD, PAYS, Sinks, sinks_for, supply, told_to
from site_under_test import Run, Site, site_under_test

from lab import Lab

# Until all is well before a round.
HEALING = 300
# Until signs of life come: the monitoring has the new configuration.
FIRST_SIGN = 180

Lanes = Sequence[Sequence[Case]]


def main() -> int:
    arguments = _arguments()
    rounds = chosen(ROUNDS, arguments.only)
    site = site_under_test()
    lab = Lab.load(site.machines[0].container.removeprefix("slipway-").rsplit("-", 1)[0])
    target: Path = arguments.table or lab.folder / "alert-drill.md"
    target.touch()  # where it cannot be written, that is said before an hour is spent
    begun, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="alert-drill-"))
    print(f"alert-drill: {sum(map(len, map(_cases, rounds)))} faults, logs in {folder}", flush=True)
    logs = (folder / f"{number}.log" for number in itertools.count(1))
    outcomes = list[Outcome]()
    with sinks_for(gateway(site), folder) as sinks:
        supply(lab, folder, mail_password=PASSWORD, mail_ca=sinks.authority.read_text())
        stack = stack_of(site.stack, sinks)
        try:
            _insist(site.deploy(next(logs), {"stack": stack}), "the stack with receivers")
            _await_sign(sinks)
            for lanes in rounds:
                outcomes += _round(site, lanes, sinks, stack, logs)
        finally:
            # First: whatever becomes of what follows, what was measured is kept.
            _tell(outcomes, target)
            _well(site, logs)  # what still heals would stand in its way; it says so itself
            _insist(site.deploy(next(logs)), "the usual stack")
    print(f"alert-drill: {time.monotonic() - begun:.0f} s in all", flush=True)
    return 0 if outcomes and all(it.well for it in outcomes) else 1


def _tell(outcomes: Sequence[Outcome], target: Path) -> None:
    if outcomes:
        report = table(outcomes, NOT_DRILLED)
        target.write_text(report)
        print(report, f"alert-drill: the table: {target}", sep="\n", flush=True)


def chosen(rounds: Sequence[Lanes], only: Sequence[str]) -> list[Lanes]:
    """Of all rounds, those cases that are named, by their own name or that of an alert; all without one."""
    wanted = {
        case.name
        for case in CASES.values()
        if not only or case.name in only or {it.alert for it in case.watched} & set(only)
    }
    kept = [[[case for case in lane if case.name in wanted] for lane in lanes] for lanes in rounds]
    return [[lane for lane in lanes if lane] for lanes in kept if any(lanes)]


def stack_of(stack: dict[str, Any], sinks: Sinks) -> dict[str, Any]:
    """The lab's, told to this machine; with thresholds for what is a matter of time or of number alone."""
    monitoring = told_to(stack, sinks)["components"]["monitoring"]
    brief = {"warning": "10s", "critical": "20s"}
    monitoring["alerts"]["thresholds"] = {
        "connections": {"warning": 30, "critical": 40},
        "query": brief,
        "idle_in_transaction": brief,
        "lock_wait": brief,
    }
    for name in (PAYS, MAPS):
        monitoring["outside"][name] = {"url": sinks.url(name), "every": "15s", "severity": "critical"}
    return stack


def gateway(site: Site) -> str:
    """This machine, as the lab's hosts see it."""
    return site.machines[0]("sudo ip -4 route show default").split()[2]


def _round(
    site: Site, lanes: Lanes, sinks: Sinks, stack: dict[str, Any], logs: Iterator[Path]
) -> list[Outcome]:
    """Lanes side by side, in an environment that is well."""
    if not _well(site, logs):
        # What a case has left is made good by a deployment; what that does not mend, nothing is measured in.
        site.deploy(next(logs), {"stack": stack})
        if not _well(site, logs):
            return [
                it for case in _cases(lanes) for it in failed(case, "not begun: the environment is not well")
            ]
    print(f"alert-drill: {', '.join(case.name for case in _cases(lanes))}", flush=True)
    with ThreadPoolExecutor(len(lanes)) as pool, halting() as halt:
        drill = Drill(Hands(site, sinks), sinks, halt)
        return [it for outcomes in pool.map(drill.lane, lanes) for it in outcomes]


@contextmanager
def halting() -> Iterator[threading.Event]:
    """An event that is set where somebody interrupts: lanes then undo what they did, and end."""
    halt = threading.Event()
    try:
        yield halt
    except BaseException:
        halt.set()
        raise


def _cases(lanes: Lanes) -> list[Case]:
    return [case for lane in lanes for case in lane]


def _well(site: Site, logs: Iterator[Path]) -> bool:
    try:
        return site.deploy(next(logs), {"wait": HEALING}, playbook="playbooks/health.yml").status == 0
    except subprocess.TimeoutExpired:
        return False


def _insist(run: Run, what: str) -> None:
    if run.status:
        sys.exit(f"alert-drill: error: {what} could not be deployed: {run.problem}")


def _await_sign(sinks: Sinks) -> None:
    deadline = time.monotonic() + FIRST_SIGN
    while not sinks.last_sign:
        if time.monotonic() > deadline:
            sys.exit(f"alert-drill: error: no message at all within {FIRST_SIGN} s")
        time.sleep(1)  # nothing tells when it comes


def _arguments() -> argparse.Namespace:
    assert __doc__
    alerts = sorted({watched.alert for case in CASES.values() for watched in case.watched})
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        choices=[*CASES, *alerts],
        help=f"faults ({', '.join(CASES)}) or alerts ({', '.join(alerts)}); all without it",
    )
    parser.add_argument("--table", type=Path, help="where the table goes (.lab/<lab>/alert-drill.md)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
