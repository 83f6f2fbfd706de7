"""The long part of a restore, which outlives the module call that began it: a copy beside what serves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..host_job import Log, begin
from .restore_host import RestoreHost
from .restore_work import restored

# Until a dead run's job has seen that its container is gone.
_ENDS_WITHIN = 120.0


def start(root: Path, host: RestoreHost, params: Mapping[str, Any]) -> None:
    """Begin to restore; the last event tells what the copy holds."""
    plan = dict(params["plan"])
    begin(_log(root), "restore", lambda say: {"done": restored(host, {"plan": plan}, say)})


def follow(root: Path, host: RestoreHost, known: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """What happened after the first `known` events."""
    return _log(root).follow(known, lambda: host.progress(int(params["plan"]["bytes"])))


def end(root: Path, host: RestoreHost) -> None:
    """Let nothing be at work here that a run has begun which is no more; the caller has the lock."""
    log, until = _log(root), time.monotonic() + _ENDS_WITHIN
    if not log.at_work():
        return
    while log.at_work():
        if time.monotonic() > until:
            raise SlipwayError(
                "a restore that another run began does not end",
                f"End the process that writes {log.path} (`fuser` tells which), and run this again",
            )
        host.close()
        time.sleep(0.5)  # its command fails, and it begins to remove what it has copied
    host.discard()


def _log(root: Path) -> Log:
    return Log(root / "state/restore.jsonl")
