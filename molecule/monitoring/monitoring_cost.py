"""Measure what metrics, logs and traces cost the lab, on, off and on again: latency at the edge, CPU, memory.

On is the stack as the lab has it, with every trace kept. Off is the same stack deployed without `logs` (and
their traces) and `console`, and whatever else measures stopped on every host: exporters, Prometheus,
Alertmanager, the prober, the reader of the edge's log, hosts' programs. The same requests are sent to both
at the same pace, on kept connections; they begin when both have rested. Not in turn: without a store of
logs every container is made anew, which takes minutes. SLIPWAY_LAB names the lab (lab).

Of CPU the whole machine is asked, the client included, which does the same in both: what is told is the
difference. Of memory and CPU by component the lab's own Prometheus is asked.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge import Edge
from fleet_under_test import Fleet, shorten_drains
from load_sessions import NO_ANSWER, day
from monitoring_use import EXPORTERS, KEEPER, UNITS, Use, by_component, used_by_monitoring
from quiet_hour import edge_of
from site_under_test import site_under_test

from lab import Lab

# Together below the rate limit of one client: 100 a second for each service.
CLIENTS = 6
# After a deployment: caches, connections and idle replicas settle.
REST = 30.0
# What is promised, docs/benchmarks.md: less than this in the slowest twentieth of requests; of memory, on the
# host that keeps what all tell, and on any other; of CPU, everywhere together, in cores.
MOST_LATENCY = 0.005
MOST_KEEPING, MOST_ELSEWHERE, MOST_CORES = 600 * 2**20, 200 * 2**20, 0.25


@dataclass(frozen=True)
class Measured:
    """Some time of requests, `rate` a second.

    seconds: of every request, sorted. cores: that the machine used. failed: what went wrong, in words.
    """

    rate: float
    seconds: Sequence[float]
    cores: float
    failed: Sequence[str]

    def percentile(self, percent: float) -> float:
        return self.seconds[min(int(len(self.seconds) * percent / 100), len(self.seconds) - 1)]


@dataclass(frozen=True)
class Found:
    """The same with, without, and with again, so that a machine that slows down is no cost and no gain."""

    before: Sequence[Measured]
    off: Sequence[Measured]
    after: Sequence[Measured]

    @property
    def latency(self) -> float:
        """How much longer the slowest twentieth took with all that watches, in seconds, by the medians."""
        on = (_median(self.before, 95) + _median(self.after, 95)) / 2
        return on - _median(self.off, 95)

    @property
    def cores(self) -> float:
        before, off, after = (
            statistics.median(one.cores for one in side) for side in (self.before, self.off, self.after)
        )
        return (before + after) / 2 - off

    def at(self, rate: float) -> Found:
        """What was found of one rate."""
        sides = (self.before, self.off, self.after)
        return Found(*([one for one in side if one.rate == rate] for side in sides))

    @property
    def rates(self) -> Sequence[float]:
        return sorted({one.rate for one in self.off})

    @property
    def failed(self) -> Sequence[str]:
        return [wrong for side in (self.before, self.off, self.after) for one in side for wrong in one.failed]


def main() -> int:
    arguments = _arguments()
    lab, folder = Lab.load(os.environ.get("SLIPWAY_LAB") or "lab"), Path(tempfile.mkdtemp(prefix="cost-"))
    fleet, edge = Fleet(site_under_test(), lab, folder), edge_of(lab, folder)
    watched, without = hurried(fleet.site.stack), hurried(fleet.site.stack)
    without["components"] |= {"logs": False, "console": False}
    print(f"monitoring-cost: {arguments.runs} runs of each, logs in {folder}", flush=True)
    try:
        _deploy(fleet, watched)
        before = _measured(edge, arguments, "on")
        _deploy(fleet, without)
        with _stopped(lab):
            off = _measured(edge, arguments, "off")
        _deploy(fleet, watched)
        after = _measured(edge, arguments, "on again")
        return _tell(lab, Found(before, off, after), arguments)
    finally:
        _deploy(fleet, None)


def hurried(stack: dict[str, Any]) -> dict[str, Any]:
    """The stack with releases that pause for nobody: how they come out is not what is measured."""
    shorten_drains(stack)
    stack["strategies"] = {"at_once": {"steps": [{"new": "100%", "share": 100}]}}
    for service in stack["services"].values():
        if "route" in service:
            service["strategy"] = "at_once"
    return stack


def _measured(edge: Edge, arguments: argparse.Namespace, label: str) -> Sequence[Measured]:
    time.sleep(REST)  # else what has just been started would be measured
    turns = [rate for _ in range(arguments.runs) for rate in arguments.rates]
    return [_measure(edge, rate, arguments.seconds, label) for rate in turns]


def _measure(edge: Edge, rate: float, seconds: float, label: str) -> Measured:
    before, begun, ended = _busy(), time.monotonic(), threading.Event()
    with ThreadPoolExecutor(CLIENTS) as clients:
        working = [clients.submit(_client, edge, rate / CLIENTS, ended) for _ in range(CLIENTS)]
        ended.wait(seconds)
        ended.set()
        answers = [answer for one in working for answer in one.result()]
    cores = (_busy() - before) / (time.monotonic() - begun)
    failed = [wrong for _, wrong in answers if wrong]
    found = Measured(rate, sorted(took for took, _ in answers), cores, failed)
    print(
        f"{label:8s}  {rate:g} a second: {len(answers)} requests, {len(failed)} failed, "
        f"p50 {_ms(found.percentile(50))}, p95 {_ms(found.percentile(95))}, {cores:.2f} cores",
        flush=True,
    )
    return found


def _client(edge: Edge, rate: float, ended: threading.Event) -> list[tuple[float, str]]:
    """Pages and searches, which ask PostgreSQL, in turn; the time of each, and what was wrong."""
    asked: list[tuple[float, str]] = []
    paths = ("/", f"/api/journeys?from=Paris&to=Milan&date={day()}")
    connection = edge.connection()
    while not ended.is_set():
        begun = time.monotonic()
        try:
            status = edge.request("GET", paths[len(asked) % len(paths)], connection=connection).status
            wrong = "" if status == 200 else f"status {status}"
        except NO_ANSWER as problem:
            wrong, connection = f"no answer: {problem!r}", edge.connection()
        took = time.monotonic() - begun
        asked.append((took, wrong))
        ended.wait(max(1 / rate - took, 0))
    connection.close()
    return asked


@contextmanager
def _stopped(lab: Lab) -> Iterator[None]:
    """What measures is stopped, on every host; started again at the end."""
    names = " ".join(f"{lab.stack['name']}-{name}-1" for name in EXPORTERS)
    units = " ".join(f"{name}.service" for name in UNITS)
    listed = f"docker ps --quiet $(printf -- '--filter name=^%s$ ' {names})"
    stopped = {name: host.check_output(listed).split() for name, host in lab.hosts.items()}
    enabled = f"systemctl list-units --plain --no-legend --state=running {units} | grep -o '^[^ ]*'"
    running = {name: host.check_output(enabled).split() for name, host in lab.hosts.items()}
    for name, host in lab.hosts.items():
        host.check_output(f"docker stop {' '.join(stopped[name])}")
        host.check_output(f"systemctl stop {' '.join(running[name])}")
    try:
        yield
    finally:
        for name, host in lab.hosts.items():
            host.run(f"systemctl start {' '.join(running[name])}")
            host.run(f"docker start {' '.join(stopped[name])}")


def _median(runs: Sequence[Measured], percent: float) -> float:
    return statistics.median(one.percentile(percent) for one in runs)


def _busy() -> float:
    """CPU seconds that the machine has used since it runs: proc_stat(5) without idle, iowait and steal."""
    user, nice, system, _idle, _wait, irq, soft, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _tell(lab: Lab, found: Found, arguments: argparse.Namespace) -> int:
    print("\n| requests a second | of them | on | off | on again | difference |\n|---|---|---|---|---|---|")
    for rate, at in ((rate, found.at(rate)) for rate in found.rates):
        for percent in (50, 95, 99):
            before, off, after = (_median(one, percent) for one in (at.before, at.off, at.after))
            more = (before + after) / 2 - off
            print(f"| {rate:g} | p{percent} | {_ms(before)} | {_ms(off)} | {_ms(after)} | {_ms(more)} |")
        used = [_cores(side) for side in (at.before, at.off, at.after)]
        print(f"| {rate:g} | cores | {' | '.join(used)} | {at.cores:.2f} |")
    taken = used_by_monitoring(lab, arguments.seconds)
    print("\n| what watches | of it | memory | cores |\n|---|---|---|---|")
    for name, (count, memory, cpu) in sorted(by_component(taken).items()):
        print(f"| {name} | {count} | {memory / 2**20:.0f} MB | {cpu:.3f} |")
    over = list(over_budget(found, taken))
    print(*sorted(set(found.failed)), f"monitoring-cost: {len(found.failed)} requests failed", sep="\n")
    print(*(f"monitoring-cost: OVER BUDGET: {it}" for it in over), sep="\n")
    return 1 if found.failed or over else 0


def over_budget(found: Found, used: Mapping[tuple[str, str], Use]) -> Iterator[str]:
    """What takes more than is promised, in words."""
    for rate in found.rates:
        if (more := found.at(rate).latency) >= MOST_LATENCY:
            yield f"p95 {_ms(more)} more at {rate:g} a second, promised are {_ms(MOST_LATENCY)}"
    cores = sum(one.cores for one in used.values())
    if cores >= MOST_CORES:
        yield f"{cores:.2f} cores, promised are {MOST_CORES}"
    memory = {host: sum(it.bytes for (of, _), it in used.items() if of == host) for host, _ in used}
    keeping = {host for host, name in used if name == KEEPER}
    for host, taken in sorted(memory.items()):
        most = MOST_KEEPING if host in keeping else MOST_ELSEWHERE
        if taken >= most:
            yield f"{taken / 2**20:.0f} MB on {host}, promised are {most / 2**20:.0f}"


def _deploy(fleet: Fleet, stack: dict[str, Any] | None) -> None:
    run = fleet.deploy(stack)
    assert run.status == 0, run.problem


def _cores(runs: Sequence[Measured]) -> str:
    return f"{statistics.median(one.cores for one in runs):.2f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(prog="monitoring-cost", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="how often each rate is measured (5)")
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement (60)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[20, 60], help="requests a second, of all clients (20 60)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
