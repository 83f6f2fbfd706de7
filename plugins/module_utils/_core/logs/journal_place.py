"""How far a program has come that reads a host's journal, as a file that outlives it and the host's power."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from .. import textfile
from .journal_lines import Line

# Seconds after which the log store has on its disk what it took.
SETTLED = 5.0


@dataclass
class Place:
    """Up to where the store has surely kept everything, and what it took since: (when, cursor, moment)."""

    cursor: str = ""
    moment: float = 0.0
    taken: deque[tuple[float, str, float]] = field(default_factory=deque)

    @classmethod
    def read(cls, file: Path) -> Place:
        try:
            told = json.loads(file.read_text())
            return cls(str(told["cursor"]), float(told["moment"]))
        except (OSError, ValueError, LookupError, TypeError):
            return cls()

    def took(self, line: Line, now: float) -> None:
        self.taken.append((now, line.cursor, line.moment))

    def due(self, now: float) -> bool:
        """Whether anything was taken long enough ago."""
        return bool(self.taken) and now - self.taken[0][0] >= SETTLED

    def settle(self, now: float) -> None:
        while self.due(now):
            _when, self.cursor, self.moment = self.taken.popleft()

    def write(self, file: Path) -> None:
        """Onto the disk: nor does a host that lost its power see half of it."""
        with textfile.replacing(file) as stream:
            stream.write(json.dumps({"cursor": self.cursor, "moment": self.moment}))
            stream.flush()
            os.fsync(stream.fileno())
