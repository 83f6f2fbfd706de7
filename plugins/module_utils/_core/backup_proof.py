"""Prove a backup: restore it, start it, look into it. A backup counts only after that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from .backup_info import Backup
from .backup_report import Check, Verification
from .backup_repository import Repository
from .backup_scratch import Scratch, scratch
from .backup_wal import holes, number, spans
from .backups import newest
from .errors import SlipwayError

# What a restore takes beside the databases: WAL on its way, sorting, logs.
MARGIN = 512 << 20
DAY = 86_400
_STATE = """SELECT extract(epoch FROM pg_last_xact_replay_timestamp()),
    pg_walfile_name(pg_last_wal_replay_lsn());"""


@dataclass
class _Progress:
    """What a proof has found so far."""

    checks: list[Check] = field(default_factory=list)
    newest: str | None = None
    rpo: float | None = None
    rto: float | None = None

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @contextmanager
    def looking(self, name: str, say: Callable[[str], object]):  # type: ignore[no-untyped-def]
        """A known failure becomes a finding; the body gets a list for what else it finds wrong."""
        begun, found = time.monotonic(), list[str]()
        try:
            yield found
        except SlipwayError as error:
            found.append(f"{error.problem}. {error.remedy}")
        detail = "; ".join(found)
        self.checks.append(Check(name, not found, detail or "well", round(time.monotonic() - begun, 1)))
        say(f"{name}: {detail or 'well'}")


def prove(
    repository: Repository,
    assertions: Sequence[Mapping[str, str]],
    repositories: Sequence[int] = (1,),
    *,
    say: Callable[[str], object] = lambda _line: None,
    volume_options: Sequence[str] = (),
    margin: int = MARGIN,
) -> Verification:
    """Verify every repository, then restore the first one's newest backup with all its WAL, and try it.

    Never raises for what it looks for: it is in the result. say: told each finding at once.
    """
    begun, seen = datetime.now(UTC), _Progress()
    backup: Backup | None = None
    for index in repositories:
        with seen.looking(f"repository {index}", say) as found:
            found += _few(repository.damage(index))
    with seen.looking("wal", say) as found:
        own = repository.info().of(repositories[0])
        backup = newest(own)
        missing = holes(repository.segments(backup.archive, repositories[0]), _first(own, backup))
        if missing:
            found.append(
                f"WAL is missing in the archive: {spans(missing)}. Moments after it cannot be returned to from "
                "earlier backups. Take a backup now (playbooks/backup.yml); see why it was not archived"
            )
    if backup:
        try:
            with scratch(
                repository.run, repository.container, repository.stanza, volume_options
            ) as place:
                _try(place, backup, seen, repository, assertions, begun, say, margin)
        except SlipwayError as error:
            seen.checks.append(Check("scratch", False, f"{error.problem}. {error.remedy}", 0.0))
    return Verification(
        id=f"{begun:%Y%m%dT%H%M%S}-{uuid4().hex[:6]}",
        begun=_iso(begun),
        ended=_iso(datetime.now(UTC)),
        repository=repositories[0],
        backup=backup.label if backup else "",
        ok=seen.ok,
        newest=seen.newest,
        rpo=seen.rpo,
        rto=seen.rto,
        bytes=backup.size if backup else 0,
        checks=tuple(seen.checks),
    )


def _try(
    place: Scratch,
    backup: Backup,
    seen: _Progress,
    repository: Repository,
    assertions: Sequence[Mapping[str, str]],
    begun: datetime,
    say: Callable[[str], object],
    margin: int,
) -> None:
    with seen.looking("space", say) as found:
        free = place.free()
        if free < backup.size + margin:
            found.append(
                f"the disk is full: a restore needs {(backup.size + margin) >> 20} MB, {free >> 20} MB are free. "
                "Make room on the backup host: `df -h /var/lib/docker`"
            )
    if not seen.checks[-1].ok:
        return
    started = time.monotonic()
    with seen.looking("restore", say):
        place.restore(f"--repo={backup.repository}", f"--set={backup.label}")
    if not seen.checks[-1].ok:
        return
    with seen.looking("recovery", say) as found:
        place.start(DAY)
        replayed, segment = place.ask(_STATE).split("|")
        seen.rto = round(time.monotonic() - started, 1)
        # What was committed until the backup ended is in it, also where no WAL of a later transaction came.
        moment = max(backup.ended.timestamp(), float(replayed or 0))
        seen.newest = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
        seen.rpo = round(max(begun.timestamp() - moment, 0), 1)
        found += _short(segment, repository, backup)
    if seen.rto is None:
        return
    with seen.looking("pages", say) as found:
        found += _few(place.damage())
    for assertion in assertions:
        with seen.looking(f"assertion {assertion['name']}", say) as found:
            answer = place.ask(assertion["sql"], assertion["database"])
            if answer != "t":
                found.append(f"answered {answer[:80] or 'nothing'}, not t. Look into the data, or correct it")


def _short(segment: str, repository: Repository, backup: Backup) -> list[str]:
    """Recovery that meets a hole takes it for the end and says nothing."""
    states = repository.info().repositories
    reached = next((it.newest_wal for it in states if it.number == backup.repository), "")
    # What the copy wrote itself may have begun the next one; what arrived since is no fault.
    held = repository.segments(backup.archive, backup.repository)
    if not segment or not reached or number(segment) + 2 >= max(map(number, held), default=0):
        return []
    return [f"recovery ended in {segment} although the archive has WAL up to {reached}: what is between is lost"]


def _first(own: Sequence[Backup], last: Backup) -> str:
    """The oldest segment that any backup of the same database needs."""
    return min((it.wal_start for it in own if it.archive == last.archive), key=number)


def _few(lines: Sequence[str], most: int = 5) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], *([f"and {more} more"] if more > 0 else [])]


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
