"""Feature flags: on for everyone, or for a share of visitors who keep what they saw."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from .errors import UnavailableError

if TYPE_CHECKING:
    from .database import Database

KEEP = 5.0


class Flags:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: list[dict[str, Any]] | None = None
        self._read_at = 0.0

    async def for_visitor(self, session: str) -> dict[str, Any]:
        return {row["key"]: value_for(row, session) for row in await self._current()}

    async def _current(self) -> list[dict[str, Any]]:
        if self._rows is None or time.monotonic() - self._read_at > KEEP:
            try:
                self._rows = await self._database.fetch(
                    "SELECT key, enabled, percentage, value FROM feature_flags ORDER BY key"
                )
                self._read_at = time.monotonic()
            except UnavailableError:
                # What the flags last said is better than a page without them.
                if self._rows is None:
                    raise
        return self._rows


def value_for(flag: dict[str, Any], session: str) -> Any:
    """The flag's value for one visitor, or False."""
    if not flag["enabled"] or bucket(flag["key"], session) >= flag["percentage"]:
        return False
    return flag["value"]


def bucket(key: str, session: str) -> int:
    """0-99, the same for a visitor every time, and independent between flags."""
    return int(hashlib.sha256(f"{key}:{session}".encode()).hexdigest()[:8], 16) % 100
