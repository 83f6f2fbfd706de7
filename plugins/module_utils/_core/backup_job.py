"""A backup or a proof that outlives the module call that began it, and tells its progress in a file."""

from __future__ import annotations

import fcntl
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .backup_work import Backups
from .errors import SlipwayError

BACKUP = "state/backups/job.jsonl"
# How long one `follow` waits for news.
PATIENCE = 10.0


class Log:
    """Events of the job of one stack, a JSON object a line; its writer holds a lock on the file."""

    def __init__(self, root: Path, path: str = BACKUP) -> None:
        self.path = root / path
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def begun(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def at_work(self) -> bool:
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def events(self) -> list[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def follow(self, known: int, progress: Callable[[], float | None]) -> dict[str, Any]:
        """What happened after the first `known` events, whether it goes on, and how far it is in percent."""
        limit = time.monotonic() + PATIENCE
        while self.at_work() and len(self.events()) <= known and time.monotonic() < limit:
            time.sleep(0.3)  # between two looks
        going_on, events = self.at_work(), self.events()
        percent = None
        if going_on and len(events) <= known:
            try:
                percent = progress()
            except SlipwayError:
                percent = None
        return {"events": events[known:], "going_on": going_on, "percent": percent}


def work(root: Path, what: str, kind: str, adopt: bool) -> None:
    """Do it to its end."""

    def do(say: Callable[[str], object]) -> dict[str, Any]:
        backups = Backups(root)
        if what == "backup":
            return {"done": asdict(backups.take(kind, say, adopt=adopt))}
        proof = backups.verify(say)
        return {"done": proof.to_dict(), "all": [it.to_dict() for it in backups.verifications()]}

    telling(Log(root), what, do)


def telling(log: Log, what: str, do: Callable[[Callable[[str], object]], Mapping[str, Any]]) -> None:
    """Do it to its end; how it went is the last event, never an exception."""
    with log.path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def tell(event: Mapping[str, Any]) -> None:
            file.write(f"{json.dumps(event)}\n")
            file.flush()
            os.fsync(file.fileno())

        tell({"say": f"{what} begins"})
        try:
            tell(do(lambda line: tell({"say": line})))
        except SlipwayError as error:
            tell({"problem": error.problem, "remedy": error.remedy})
        except Exception:
            tell({"problem": traceback.format_exc(), "remedy": "This is a fault in Slipway: report it"})
