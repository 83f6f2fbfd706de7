"""Tell the monitoring what each container uses and how it fares, whatever it exports itself.

Runs on every host as the service `slipway-container-metrics`. The engine is asked what runs, and tells what
ends; the kernel is asked what is used (memory as `docker stats` counts it: without the page cache that is
given back first). The textfile collector of node-exporter reads the answers: memory of replicas every five
seconds, as releases are judged by it; all containers every fifteen. Needs nothing but Python.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import textfile
from ..textfile import Sample

SECONDS = 5
# Every so many rounds all containers are told of.
ROUNDS = 3
ENGINE = "/run/docker.sock"
CGROUPS = Path("/sys/fs/cgroup")
# Where the engine's two drivers, cgroupfs and systemd, put a container.
PLACES = ("docker/{}", "system.slice/docker-{}.scope")
REPLICA = re.compile(r"(?P<service>.+)-(?P<pool>blue|green)-\d+")
# Hang-ups and the users' own signals ask for a reload, not for an end: SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH.
RELOADS = ("1", "10", "12", "28")
OOM, CRASH = "oom", "crash"
# An engine that is away, or that says what nobody expects: it is asked again.
UNCLEAR = (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException)

HELP = {
    "slipway_replica_memory_bytes": "gauge Memory that a replica uses, without cache that can be given back.",
    "slipway_replica_memory_limit_bytes": "gauge Memory at which a replica is killed.",
    # As cAdvisor names them, so that dashboards made for it find them.
    "container_memory_working_set_bytes": "gauge Memory in use, without cache that can be given back.",
    "container_memory_total_active_file_bytes": "gauge Of that, cache that was used more than once.",
    "container_spec_memory_limit_bytes": "gauge Memory at which the container is killed.",
    "container_cpu_usage_seconds_total": "counter CPU time.",
    "container_cpu_cfs_periods_total": "counter Periods in which it might have been throttled.",
    "container_cpu_cfs_throttled_periods_total": "counter Of those, in which it wanted more than its limit.",
    "container_oom_events_total": "counter Times it went beyond its memory, since the host measures it.",
    "slipway_container_crashes_total": "counter Times it ended with an error and was not asked to.",
}


@dataclass(frozen=True)
class Container:
    """As the engine lists it. project, service: of Compose, "" where there is none."""

    id: str
    name: str
    project: str
    service: str
    running: bool


@dataclass(frozen=True)
class Use:
    """memory, active, limit: bytes; a limit of 0 is none. cpu: seconds. periods: of the CPU's limit, so far.

    active: page cache that was used more than once, which is a part of `memory`.
    """

    memory: int
    active: int
    limit: int
    cpu: float
    periods: int
    throttled: int


class Engine(http.client.HTTPConnection):
    """The Docker engine's API on its socket."""

    def __init__(self, path: str, timeout: float | None = SECONDS) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def get(self, path: str, **query: Any) -> http.client.HTTPResponse:
        words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()}
        self.request("GET", f"{path}?{urllib.parse.urlencode(words)}")
        answer = self.getresponse()
        if answer.status != http.client.OK:
            raise ValueError(f"the engine answered {answer.status}: {answer.read()[:200]!r}")
        return answer


def containers(engine: str, *, ended: bool) -> list[Container]:
    """Every container, by name; `ended`: also those that do not run."""
    connection = Engine(engine)
    try:
        told = json.loads(connection.get("/containers/json", all=str(ended).lower()).read())
    finally:
        connection.close()
    label = "com.docker.compose."
    found = [
        Container(
            str(one["Id"]),
            str(min(one["Names"], key=lambda name: name.count("/"))).lstrip("/"),  # others are links' names
            str((one["Labels"] or {}).get(f"{label}project", "")),
            str((one["Labels"] or {}).get(f"{label}service", "")),
            one["State"] == "running",
        )
        for one in told
        if one["Names"]
    ]
    return sorted(found, key=lambda one: one.name)


def used(container: str, cgroups: Path) -> Use | None:
    """What the kernel says, of either version of its control groups; None when it has just ended."""
    for read in (_version_1, _version_2):
        for place in PLACES:
            try:
                return read(cgroups, place.format(container))
            except OSError:
                continue
    return None


def _version_1(cgroups: Path, place: str) -> Use:
    memory, cpu = cgroups / "memory" / place, _table(cgroups / "cpu" / place / "cpu.stat")
    stat = _table(memory / "memory.stat")
    return Use(
        _working(memory / "memory.usage_in_bytes", stat.get("total_inactive_file", 0)),
        stat.get("total_active_file", 0),
        _limit(memory / "memory.limit_in_bytes"),
        int((cgroups / "cpuacct" / place / "cpuacct.usage").read_text()) / 1e9,
        cpu.get("nr_periods", 0),
        cpu.get("nr_throttled", 0),
    )


def _version_2(cgroups: Path, place: str) -> Use:
    group = cgroups / place
    cpu, stat = _table(group / "cpu.stat"), _table(group / "memory.stat")
    return Use(
        _working(group / "memory.current", stat.get("inactive_file", 0)),
        stat.get("active_file", 0),
        _limit(group / "memory.max"),
        cpu.get("usage_usec", 0) / 1e6,
        cpu.get("nr_periods", 0),
        cpu.get("nr_throttled", 0),
    )


def _working(usage: Path, inactive: int) -> int:
    return max(int(usage.read_text()) - inactive, 0)


def _limit(file: Path) -> int:
    most = file.read_text().strip()
    # Version 1 says "no limit" as a number that no machine has.
    return int(most) if most.isdigit() and int(most) < 1 << 60 else 0


def _table(file: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


class Ends:
    """How often containers, by name, went beyond their memory, or ended with an error of their own accord."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._asked: set[str] = set()

    def note(self, event: dict[str, Any]) -> None:
        """One event of the engine, in the order in which they come."""
        actor = event["Actor"]
        about, name = actor["Attributes"], actor["Attributes"].get("name", "")
        if event["Action"] == "kill" and about.get("signal") not in RELOADS:
            self._asked.add(actor["ID"])
        elif event["Action"] == "oom":
            self.counts[name, OOM] += 1
        elif event["Action"] == "die":
            if actor["ID"] not in self._asked and about.get("exitCode") != "0":
                self.counts[name, CRASH] += 1
            self._asked.discard(actor["ID"])

    def follow(self, engine: str) -> None:
        """For ever; where the engine is away, it is asked again."""
        wanted = {"type": ["container"], "event": ["kill", "oom", "die"]}
        while True:
            connection = Engine(engine, timeout=None)
            try:
                answer = connection.get("/events", filters=wanted)
                self._asked.clear()  # their ends may have gone unheard
                while line := answer.readline():
                    self.note(json.loads(line))
            except UNCLEAR as error:
                print(f"what ends is not counted: {error!r}", file=sys.stderr, flush=True)
            finally:
                connection.close()
            time.sleep(SECONDS)  # an engine that is away is not asked all the time


def memory_of_replicas(found: Iterable[tuple[Container, Use]], project: str) -> Iterator[Sample]:
    for one, use in found:
        known = REPLICA.fullmatch(one.service)
        if known is None or one.project != project:
            continue
        labels = f'service="{known["service"]}",pool="{known["pool"]}",replica="{one.service}"'
        yield "slipway_replica_memory_bytes", labels, use.memory
        if use.limit:
            yield "slipway_replica_memory_limit_bytes", labels, use.limit


def of_containers(found: Iterable[tuple[Container, Use]]) -> Iterator[Sample]:
    for one, use in found:
        labels = f'name="{one.name}"'
        yield "container_memory_working_set_bytes", labels, use.memory
        yield "container_memory_total_active_file_bytes", labels, use.active
        if use.limit:
            yield "container_spec_memory_limit_bytes", labels, use.limit
        yield "container_cpu_usage_seconds_total", labels, round(use.cpu, 3)
        yield "container_cpu_cfs_periods_total", labels, use.periods
        yield "container_cpu_cfs_throttled_periods_total", labels, use.throttled


def of_ends(found: Iterable[Container], ends: Ends) -> Iterator[Sample]:
    """Of all that there are: a counter that begins at its first event hides that event."""
    for one in found:
        yield "container_oom_events_total", f'name="{one.name}"', ends.counts[one.name, OOM]
        yield "slipway_container_crashes_total", f'name="{one.name}"', ends.counts[one.name, CRASH]


def main(project: str, folder: Path, engine: str = ENGINE, cgroups: Path = CGROUPS) -> None:
    ends, well, rounds = Ends(), True, 0
    threading.Thread(target=ends.follow, args=(engine,), daemon=True).start()
    while True:
        begun = time.monotonic()
        try:
            every = rounds % ROUNDS == 0
            listed = containers(engine, ended=every)
            wanted = [one for one in listed if one.running and (every or REPLICA.fullmatch(one.service))]
            found = [(one, use) for one in wanted if (use := used(one.id, cgroups))]
            memory = memory_of_replicas(found, project)
            textfile.write(folder / "memory.prom", textfile.text(memory, HELP))
            if every:
                told = textfile.text([*of_containers(found), *of_ends(listed, ends)], HELP)
                textfile.write(folder / "containers.prom", told)
            well, rounds = True, rounds + 1
        except UNCLEAR as error:
            # The engine may be restarting. The files grow old meanwhile, and who judges by them sees that.
            if well:
                print(f"not measured: {error!r}", file=sys.stderr, flush=True)
            well = False
        time.sleep(max(SECONDS - (time.monotonic() - begun), 1))
