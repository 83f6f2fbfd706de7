"""Backups, what a repository says of them, and the WAL it holds, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import (
    Backup,
    Info,
    RepositoryState,
)

# A Sunday.
SUNDAY = datetime(2026, 11, 29, 2, 7, tzinfo=UTC)


def backup(kind: str, begun: datetime, first: int = 5, last: int = 6, line: int = 1) -> Backup:
    start, stop = f"{line:08X}{first:016X}", f"{line:08X}{last:016X}"
    lsn, letter = f"0/{last << 24:X}", {"full": "F", "diff": "D", "incr": "I"}[kind]
    label = f"{begun:%Y%m%d-%H%M%S}{letter}"
    return Backup(label, kind, 1, begun, begun + timedelta(minutes=1), 1, 1, start, stop, lsn, "17-1", False)


def info(*backups: Backup, code: int = 0, system_id: str = "77", version: str = "17") -> Info:
    return Info((RepositoryState(1, code, "ok", ""),), backups, system_id, version, None)


def files(*numbers: int, line: int = 1) -> dict[str, float]:
    """An archive in which segment n arrived at second n."""
    return {f"x/{line:08X}{it:016X}-{'0' * 40}.zst": float(it) for it in numbers}
