"""Faults on demand, so that health checks, canaries and automatic rollback have something to catch.

MISBEHAVE="errors=0.1,bugs=0.1,latency=300ms,crash_after=30s,crash_on_start,never_ready,slow_start=20s,leak=5MB/s"
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CRASH_EXIT_CODE = 70
LEAK_STEPS_PER_SECOND = 5
LONGEST_DURATION = 3600.0
LARGEST_LEAK = 1024**3

log = logging.getLogger("wayfare.misbehaviour")


@dataclass(frozen=True)
class Misbehaviour:
    """errors, bugs: shares of requests that fail, as foreseen and not. Durations in seconds.

    leak: bytes a second never freed.
    """

    errors: float = 0.0
    bugs: float = 0.0
    latency: float = 0.0
    crash_after: float | None = None
    crash_on_start: bool = False
    never_ready: bool = False
    slow_start: float = 0.0
    leak: int = 0

    def fails_now(self) -> bool:
        return self.errors > 0 and random.random() < self.errors

    def raise_if_told_to(self) -> None:
        if self.bugs > 0 and random.random() < self.bugs:
            raise RuntimeError("told to by MISBEHAVE")

    def crash_if_told_to_on_start(self) -> None:
        if self.crash_on_start:
            _crash("told to crash on start")

    async def run(self) -> None:
        """What goes wrong by itself as time passes; returns at once when nothing is to."""
        async with asyncio.TaskGroup() as group:
            if self.crash_after is not None:
                group.create_task(_crash_after(self.crash_after))
            if self.leak:
                group.create_task(_leak(self.leak))


def parse_misbehaviour(text: str) -> tuple[Misbehaviour, list[str]]:
    """Strictly: an experiment that silently tests nothing is worse than none."""
    values: dict[str, Any] = {}
    problems = []
    for item in (part.strip() for part in text.split(",")) if text.strip() else ():
        name, equals, value = item.partition("=")
        if name not in SWITCHES:
            problems.append(f"{item!r} is no switch: use {', '.join(SWITCHES)}")
        elif name in values:
            problems.append(f"{name} is given twice: keep one")
        else:
            parse, example = SWITCHES[name]
            values[name] = parse(value if equals else None)
            if values[name] is None:
                problems.append(f"{item!r} is not understood: write {example}")
    return (Misbehaviour(), problems) if problems else (Misbehaviour(**values), [])


def _flag(value: str | None) -> bool | None:
    return True if value is None else None


def _share(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"[01](\.[0-9]+)?", value):
        return None
    return float(value) if 0 < float(value) <= 1 else None


def _duration(value: str | None) -> float | None:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)", value or "")
    if not match:
        return None
    seconds = float(match[1]) * {"ms": 0.001, "s": 1, "m": 60}[match[2]]
    return seconds if 0 < seconds <= LONGEST_DURATION else None


def _rate(value: str | None) -> int | None:
    match = re.fullmatch(r"([0-9]+)(KB|MB)/s", value or "")
    if not match:
        return None
    size = int(match[1]) * {"KB": 1024, "MB": 1024**2}[match[2]]
    return size if 0 < size <= LARGEST_LEAK else None


SWITCHES: dict[str, tuple[Callable[[str | None], Any], str]] = {
    "errors": (_share, "errors=0.1 (a share above 0, up to 1)"),
    "bugs": (_share, "bugs=0.1 (a share above 0, up to 1)"),
    "latency": (_duration, "latency=300ms (ms, s or m, up to an hour)"),
    "crash_after": (_duration, "crash_after=30s (ms, s or m, up to an hour)"),
    "crash_on_start": (_flag, "crash_on_start (no value)"),
    "never_ready": (_flag, "never_ready (no value)"),
    "slow_start": (_duration, "slow_start=20s (ms, s or m, up to an hour)"),
    "leak": (_rate, "leak=5MB/s (KB/s or MB/s, up to 1024MB/s)"),
}


def _crash(reason: str) -> None:
    log.error("crash", extra={"reason": reason})
    # A crash does not run clean-up code.
    os._exit(CRASH_EXIT_CODE)


async def _crash_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    _crash(f"told to crash after {seconds:g} s")


async def _leak(rate: int) -> None:
    hoard = []
    while True:
        # bytes of ones, not zeros: untouched zero pages would not count as memory in use.
        hoard.append(b"\x01" * (rate // LEAK_STEPS_PER_SECOND))
        await asyncio.sleep(1 / LEAK_STEPS_PER_SECOND)
