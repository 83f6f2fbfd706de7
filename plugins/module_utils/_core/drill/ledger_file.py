"""A ledger's file: a JSON object a line, only ever appended to; acknowledged is what is on disk."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from ..errors import SlipwayError


class LedgerFile:
    """Appends events, from several threads. It holds the session's cookie, so only its owner may read it."""

    def __init__(self, path: Path) -> None:
        """A file that exists is refused: another run's acknowledgements must not be mixed with this one's."""
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError as problem:
            raise SlipwayError(
                f"{path} exists", "Name a new file; `ledger prove` reads the old one"
            ) from problem
        self._lock = threading.Lock()
        _sync_folder(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._file)

    def durably(self, event: str, **told: Any) -> float:
        """Append an event and wait until the disk has it; the moment it is about, seconds since the epoch."""
        at = self.note(event, **told)
        os.fsync(self._file)
        return at

    def note(self, event: str, **told: Any) -> float:
        """Append an event that may be lost when this machine is."""
        at = time.time()
        line = json.dumps({"event": event, "at": round(at, 4), **told}) + "\n"
        with self._lock:
            # One call: O_APPEND keeps lines whole, also beside a `ledger mark` of another process.
            os.write(self._file, line.encode())
        return at


def mark(path: Path, text: str, at: float | None = None) -> None:
    """Note in a ledger that is being written that a fault begins, now or at a moment since the epoch."""
    if not path.is_file():
        raise SlipwayError(f"{path} is no ledger that is being written", "Start `ledger write` first")
    line = json.dumps({"event": "mark", "at": round(at or time.time(), 4), "text": text}) + "\n"
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file.fileno())


def events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file; a last line that a crash has cut short was never acknowledged to anybody."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as problem:
        raise SlipwayError(f"{path} cannot be read: {problem.strerror}", "Name a ledger's file") from problem
    for number, line in enumerate(lines, 1):
        if number == len(lines) and not line.endswith("\n"):
            return
        try:
            yield json.loads(line)
        except ValueError as problem:
            raise SlipwayError(
                f"line {number} of {path} is no event", "The file was changed; do not trust it"
            ) from problem


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
