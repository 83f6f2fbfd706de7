"""Let random faults befall the lab, one after the other: no acknowledged write may be lost, no two may lead.

Each is a drill (docs/drills.md) under its own ledger, for a random time, and ends when all is well again by
itself. With --only, drills of one's choice, several times each, for their own time: medians for a table.
What it costs more than the stack's objectives allow is told, and is no failure here. A lost, doubled or
altered write is one, and so are writes or reads that do not come back, a cluster that does not become whole,
and two members that led PostgreSQL at the same time, by their own logs. SLIPWAY_LAB names the lab (lab).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.drill.drills import drill_of
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from leading import Primary, Word, at_once, beside_another, primaries_of, words_of
from site_under_test import CHECKOUT, Machine, Site, site_under_test

# Of the data tier, and of what leads to it. Those that hurt nothing that writes need are not among them.
FAULTS = (
    *("primary_kill", "primary_stop", "primary_hang", "primary_disk_full"),
    *("patroni_hang", "primary_host_loss", "primary_partition"),
    *("redis_master_kill", "redis_master_host_loss", "etcd_member_hang", "edge_host_loss"),
)
SECONDS = (15, 60)
# Until all is well before a fault.
HEALING = 300


def main() -> int:
    arguments = parsed()
    site, folder = site_under_test(), Path(tempfile.mkdtemp(prefix="soak-"))
    planned = faults(arguments.only, arguments.times, arguments.faults, arguments.seed)
    how = "of one's choice" if arguments.only else f"with --seed {arguments.seed}"
    print(f"soak: {len(planned)} faults {how}, logs in {folder}", flush=True)
    begun, told, wrong = time.time(), list[Mapping[str, Any]](), list[str]()
    for number, (drill, seconds) in enumerate(planned, 1):
        if time.time() - begun > 60 * arguments.minutes:
            print("soak: time is over", flush=True)
            break
        try:
            report = befall(site, folder / f"{number}-{drill}.log", drill, seconds)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            wrong.append(f"{number} {drill}: {error}")
            break
        told.append(report)
        found = [f"{number} {drill}: {it}" for it in faults_of(report)]
        wrong += found
        print(f"{number:3d}  {_line(report, seconds)}", *found, sep="\n     ", flush=True)
        if found:
            break
    logs = {machine.name: _log(machine, site, begun) for machine in site.machines}
    words = sorted(word for name, log in logs.items() for word in words_of(log, name))
    primaries = [it for name, log in logs.items() for it in primaries_of(log, name, time.time())]
    if not words:
        wrong.append("no member says in its log that it leads: nothing is known of two leaders")
    wrong += [f"at {_clock(at)} {other} and {one} led at once" for at, one, other in at_once(words)]
    _summary(told, words, primaries, wrong)
    return 1 if wrong else 0


def faults(only: Sequence[str], times: int, count: int, seed: int) -> list[tuple[str, int]]:
    """What befalls the lab: drill, and for how many seconds; 0: for its own time.

    Those of one's choice take turns: what the machine does besides then hurts all of them alike.
    """
    if only:
        return [(drill, 0) for _ in range(times) for drill in only]
    dice = random.Random(seed)
    return [(dice.choice(FAULTS), dice.randint(*SECONDS)) for _ in range(count)]


def befall(site: Site, log: Path, drill: str, seconds: int) -> Mapping[str, Any]:
    """One drill; its report."""
    # On a busy machine something else may have befallen it in between: that must heal by itself, too.
    well = site.deploy(log.with_suffix(".before.log"), {"wait": HEALING}, playbook="playbooks/health.yml")
    assert well.status == 0, well.problem
    reports = CHECKOUT / ".lab" / _lab(site) / "drills"
    before = set(reports.glob("*.json"))
    site.deploy(log, {"drill": drill, "seconds": seconds}, playbook="playbooks/drill.yml")
    made = set(reports.glob("*.json")) - before
    assert len(made) == 1, log.read_text()[-3000:]
    found: Mapping[str, Any] = json.loads(made.pop().read_text())
    return found


def faults_of(report: Mapping[str, Any]) -> list[str]:
    """What must not have come of a fault, whatever time it took."""
    found = [f"{report[what]} writes {what}" for what in ("lost", "duplicated", "altered") if report[what]]
    if not report["acknowledged"]:
        found.append("no write was acknowledged")
    if report["faults"][0]["rto"] is None:
        found.append("writes did not come back")
    if not report["reads"]:
        found.append("no read was answered")
    elif not report["reads_back"]:
        found.append("reads did not come back")
    if report["whole"] is None:
        found.append("not whole again")
    return found


def _log(machine: Machine, site: Site, since: float) -> str:
    return machine(f"sudo docker logs --since {since:.0f} {site.stack['name']}-postgres-1 2>&1")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _lab(site: Site) -> str:
    return site.machines[0].container.removeprefix("slipway-").rsplit("-", 1)[0]


def _line(report: Mapping[str, Any], seconds: int) -> str:
    rto, whole = report["faults"][0]["rto"], report["whole"]
    gap, failed = report["longest_read_gap"], sum(report["reads_failed"].values())
    return (
        f"{report['drill']} ({f'{seconds} s' if seconds else 'its own time'}): "
        f"RTO {rto} s, whole after {whole} s, "
        f"no read for {gap} s at most ({failed} failed), "
        f"{report['acknowledged']} acknowledged, {report['lost']} lost, {report['duplicated']} duplicated"
    )


def table(told: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Medians of what went well, by drill."""
    by_drill: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for report in told:
        if not faults_of(report):
            figures = (report["faults"][0]["rto"], report["longest_read_gap"], report["whole"])
            by_drill[report["drill"]].append(figures)
    yield "| drill | times | RTO: median, most | no read for: median, most | whole: median, most |"
    yield "|---|---|---|---|---|"
    for drill, each in sorted(by_drill.items()):
        rto, gap, whole = zip(*each, strict=True)
        yield (
            f"| `{drill}` | {len(each)} | {statistics.median(rto):.1f} s, {max(rto):.1f} s "
            f"| {statistics.median(gap):.1f} s, {max(gap):.1f} s "
            f"| {statistics.median(whole):.0f} s, {max(whole):.0f} s |"
        )


def _summary(
    told: Sequence[Mapping[str, Any]],
    words: Sequence[Word],
    primaries: Sequence[Primary],
    wrong: Sequence[str],
) -> None:
    print(*table(told), sep="\n")
    acknowledged, lost = (sum(report[what] for report in told) for what in ("acknowledged", "lost"))
    print(
        f"soak: {len(told)} faults, {acknowledged} writes acknowledged, {lost} lost; led: {len(words)} words"
    )
    for at, seconds, one, other in beside_another(primaries):
        print(
            f"soak: from {_clock(at)} {one}'s and {other}'s servers were both primaries, {seconds:.1f} s long"
        )
    print(*(f"soak: WRONG: {it}" for it in wrong), sep="\n")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faults", type=_number, help="how many, at random (50)")
    parser.add_argument("--seed", type=_number, help="to let the same happen again (random)")
    parser.add_argument("--only", nargs="+", type=_drill, metavar="DRILL", help="these, and none at random")
    parser.add_argument("--times", type=_number, help="how often each of them, in turn (5)")
    parser.add_argument("--minutes", type=float, default=240, help="begin no other fault after this (240)")
    told = parser.parse_args(words)
    if told.only and (told.faults or told.seed):
        parser.error("--faults and --seed are for faults at random: not with --only")
    if told.times and not told.only:
        parser.error("--times says how often each of --only: name the drills")
    told.only, told.times = told.only or [], told.times or 5
    told.faults, told.seed = told.faults or 50, told.seed or random.SystemRandom().randrange(1, 10**6)
    return told


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _drill(text: str) -> str:
    try:
        drill_of(text)
    except SlipwayError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


if __name__ == "__main__":
    sys.exit(main())
