#!/usr/bin/python3
"""Tell the monitoring how much memory each replica of a stack's services uses, whatever it exports itself.

Runs on every host as the service `slipway-replica-memory`. The engine is asked which replicas run, the kernel
what they use (as `docker stats` counts it: without the page cache that is given back first), and the textfile
collector of node-exporter reads the answer. Needs nothing but Python.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

SECONDS = 5
ENGINE = "/run/docker.sock"
CGROUPS = Path("/sys/fs/cgroup")
# By the kernel's version of control groups: the folder, what is used, what is only cache, the limit.
VERSIONS = (
    ("memory", "memory.usage_in_bytes", "total_inactive_file", "memory.limit_in_bytes"),
    ("", "memory.current", "inactive_file", "memory.max"),
)
# Where the engine's two drivers, cgroupfs and systemd, put a container.
PLACES = ("docker/{}", "system.slice/docker-{}.scope")
REPLICA = re.compile(r"(?P<service>.+)-(?P<pool>blue|green)-\d+")
HEADER = """\
# HELP slipway_replica_memory_bytes Memory that a replica uses, without cache that can be given back.
# TYPE slipway_replica_memory_bytes gauge
# HELP slipway_replica_memory_limit_bytes Memory at which a replica is killed.
# TYPE slipway_replica_memory_limit_bytes gauge
"""


class Engine(http.client.HTTPConnection):
    """The Docker engine's API on its socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def replicas(engine: str, project: str) -> dict[str, str]:
    """Name and container id of every running replica."""
    chosen = {"label": [f"com.docker.compose.project={project}"], "status": ["running"]}
    connection = Engine(engine)
    try:
        connection.request(
            "GET", f"/containers/json?{urllib.parse.urlencode({'filters': json.dumps(chosen)})}"
        )
        containers = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    names = ((one["Labels"].get("com.docker.compose.service", ""), one["Id"]) for one in containers)
    return {name: container for name, container in names if REPLICA.fullmatch(name)}


def used(container: str, cgroups: Path) -> tuple[int, int] | None:
    """Bytes used and the limit (0: none); None when the container has just ended."""
    for folder, usage, cache, limit in VERSIONS:
        for place in PLACES:
            group = cgroups / folder / place.format(container)
            try:
                amount = int((group / usage).read_text())
                most = (group / limit).read_text().strip()
                cached = re.search(rf"^{cache} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
            except OSError:
                continue
            inactive = int(cached[1]) if cached else 0
            # Version 1 says "no limit" as a number that no machine has.
            bound = int(most) if most.isdigit() and int(most) < 1 << 60 else 0
            return max(amount - inactive, 0), bound
    return None


def metrics(found: dict[str, str], cgroups: Path) -> Iterator[str]:
    for name, container in sorted(found.items()):
        known, amounts = REPLICA.fullmatch(name), used(container, cgroups)
        if known is None or amounts is None:
            continue
        labels = f'{{service="{known["service"]}",pool="{known["pool"]}",replica="{name}"}}'
        yield f"slipway_replica_memory_bytes{labels} {amounts[0]}\n"
        if amounts[1]:
            yield f"slipway_replica_memory_limit_bytes{labels} {amounts[1]}\n"


def write(file: Path, text: str) -> None:
    """By rename: a reader never sees half of it."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.rename(file)


def main(project: str, file: Path, engine: str = ENGINE, cgroups: Path = CGROUPS) -> None:
    well = True
    while True:
        begun = time.monotonic()
        try:
            write(file, HEADER + "".join(metrics(replicas(engine, project), cgroups)))
            well = True
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The engine may be restarting. The file grows old meanwhile, and whoever judges by it sees that.
            if well:
                print(f"not measured: {error!r}", file=sys.stderr, flush=True)
            well = False
        time.sleep(max(SECONDS - (time.monotonic() - begun), 1))


if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[1], Path(sys.argv[2]))
