"""A backup or a proof that outlives the module call that began it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..host_job import Log, Say, begin
from .backup_work import Backups


def start(root: Path, what: str, kind: str, adopt: bool) -> None:
    """Begin a `backup` or a `verification`; the last event tells of it."""
    backups = Backups(root)  # refuses where this host keeps none

    def do(say: Say) -> dict[str, Any]:
        if what == "backup":
            return {"done": asdict(backups.take(kind, say, adopt=adopt))}
        proof = backups.verify(say)
        return {"done": proof.to_dict(), "all": [it.to_dict() for it in backups.verifications()]}

    begin(_log(root), what, do)


def follow(root: Path, known: int) -> dict[str, Any]:
    """What happened after the first `known` events."""

    def progress() -> str:
        percent = Backups(root).progress()
        return "" if percent is None else f"{percent:.0f} %"

    return _log(root).follow(known, progress)


def _log(root: Path) -> Log:
    return Log(root / "state/backups/job.jsonl")
