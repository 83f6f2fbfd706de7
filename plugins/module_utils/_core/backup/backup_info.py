"""What pgBackRest says of a repository, as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..errors import SlipwayError

FULL, DIFFERENTIAL, INCREMENTAL = "full", "diff", "incr"
KINDS = (FULL, DIFFERENTIAL, INCREMENTAL)

# Codes of `status` in `pgbackrest info`.
OK = 0
NO_STANZA = (1, 3)
NO_BACKUP = 2
UNREADABLE = 99


@dataclass(frozen=True)
class Backup:
    """One backup of one repository. size: bytes of the databases; stored: bytes it added to the repository.

    wal_start, wal_stop: first and last segment that it needs; lsn: where it ends.
    archive: folder of its database's WAL. damaged: pages failed their checksum in it.
    """

    label: str
    kind: str
    repository: int
    begun: datetime
    ended: datetime
    size: int
    stored: int
    wal_start: str
    wal_stop: str
    lsn: str
    archive: str
    damaged: bool


@dataclass(frozen=True)
class RepositoryState:
    """code, message: see OK and the like. newest_wal: the last segment that arrived, "" when none did."""

    number: int
    code: int
    message: str
    newest_wal: str


@dataclass(frozen=True)
class Info:
    """All repositories of a stanza. `system_id` and `version` are of the database that it now saves.

    percent: how far the backup is that runs now; None when none does.
    """

    repositories: tuple[RepositoryState, ...]
    backups: tuple[Backup, ...]
    system_id: str
    version: str
    percent: float | None

    def of(self, repository: int) -> list[Backup]:
        """One repository's backups, the oldest first."""
        return [backup for backup in self.backups if backup.repository == repository]


def parse_info(text: str, stanza: str) -> Info:
    """Read `pgbackrest info --output=json`; SlipwayError where it says something else."""
    try:
        told = json.loads(text)
        if not isinstance(told, list):
            raise TypeError("not a list")
        found = next((entry for entry in told if entry["name"] == stanza), None)
        if found is None:
            return Info((), (), "", "", None)
        return _info(found)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise SlipwayError(
            f"pgbackrest info said what nobody understands ({type(error).__name__}: {error})",
            "Run `pgbackrest info` in the repository's container and read what it says",
        ) from error


def _info(found: Mapping[str, Any]) -> Info:
    current = max(found["db"], key=lambda database: int(database["id"]), default=None)
    lock = found["status"].get("lock", {}).get("backup", {})
    names = {(entry["database"]["repo-key"], entry["database"]["id"]): entry for entry in found["archive"]}
    newest = {key[0]: str(entry["max"] or "") for key, entry in sorted(names.items(), key=lambda it: it[0])}
    return Info(
        repositories=tuple(
            RepositoryState(
                int(repo["key"]),
                int(repo["status"]["code"]),
                str(repo["status"]["message"]),
                newest.get(repo["key"], ""),
            )
            for repo in found["repo"]
        ),
        backups=tuple(sorted((_backup(entry, names) for entry in found["backup"]), key=lambda it: it.label)),
        system_id=str(current["system-id"]) if current else "",
        version=str(current["version"]) if current else "",
        percent=float(lock.get("pct-cplt") or 0) if lock.get("held") else None,
    )


def _backup(entry: Mapping[str, Any], archives: Mapping[tuple[int, int], Mapping[str, Any]]) -> Backup:
    key = (entry["database"]["repo-key"], entry["database"]["id"])
    return Backup(
        label=str(entry["label"]),
        kind=str(entry["type"]),
        repository=int(key[0]),
        begun=_moment(entry["timestamp"]["start"]),
        ended=_moment(entry["timestamp"]["stop"]),
        size=int(entry["info"]["size"]),
        stored=int(entry["info"]["repository"]["delta"]),
        wal_start=str(entry["archive"]["start"] or ""),
        wal_stop=str(entry["archive"]["stop"] or ""),
        lsn=str((entry.get("lsn") or {}).get("stop") or "0/0"),
        archive=str(archives[key]["id"]) if key in archives else "",
        damaged=bool(entry.get("error")),
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
