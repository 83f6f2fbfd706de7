"""Probes of the host itself: its containers, disk and memory."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..run import Run
from . import verdicts
from .health import FAIL, OK, Finding, Probe

# Containers asked about within this time share one answer of the engine.
FRESH = 0.2


class Containers:
    """All containers of the probes, looked at with one command for all threads that ask at the same time."""

    def __init__(self, run: Run, names: Sequence[str]) -> None:
        self._run = run
        self._names = sorted(set(names))
        self._lock = threading.Lock()
        self._seen: Mapping[str, Mapping[str, Any]] = {}
        self._when = float("-inf")

    def look(self, probe: Probe) -> Finding:
        with self._lock:
            if time.monotonic() - self._when > FRESH:
                self._seen = self._inspect()
                self._when = time.monotonic()
            facts = self._seen.get(str(probe.target["container"]))
        return verdicts.container(facts, probe.expect, datetime.now(UTC))

    def _inspect(self) -> dict[str, Mapping[str, Any]]:
        code, out, err = self._run(["docker", "container", "inspect", "--format", "{{json .}}", *self._names])
        missing = all("no such" in line.lower() for line in err.splitlines() if line.strip())
        if code and not missing:
            told = err.strip().splitlines()[-1]
            raise SlipwayError(f"docker does not answer: {told}", "Check it with `systemctl status docker`")
        return {
            facts["Name"].removeprefix("/"): facts for facts in map(json.loads, out.splitlines()) if facts
        }


def disk(probe: Probe) -> Finding:
    room = os.statvfs(str(probe.target["path"]))
    bytes_left = verdicts.room(
        room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize, "disk", probe.expect
    )
    if not room.f_files or bytes_left.status == FAIL:
        return bytes_left
    # A disk whose inodes are used up is as full as one without bytes.
    inodes = verdicts.inodes(room.f_favail, room.f_files, probe.expect)
    return bytes_left if inodes.status == OK else inodes


def memory(probe: Probe) -> Finding:
    amounts = _meminfo()
    return verdicts.room(amounts["MemAvailable"], amounts["MemTotal"], "memory", probe.expect)


def available() -> int:
    """Bytes of memory that could be used now without swapping."""
    return _meminfo()["MemAvailable"]


def _meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
