"""Prove a backup: restore it, start it, look into it. A backup counts only after that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

from ..errors import SlipwayError
from .backup_info import Backup
from .backup_report import Check, Verification
from .backup_repository import Repository
from .backup_scratch import Scratch, scratch
from .backup_wal import Line, holes, name, number, segments, spans
from .backups import newest, on_line

# What a restore takes beside the databases: WAL on its way, sorting, logs.
MARGIN = 512 << 20
DAY = 86_400
_STATE = """SELECT extract(epoch FROM pg_last_xact_replay_timestamp()),
    pg_walfile_name(pg_last_wal_replay_lsn());"""
_HOLES = (
    "WAL is missing in the archive: {}. Moments after it cannot be returned to from earlier backups. "
    "Take a backup now (playbooks/backup.yml), and see why it was not archived"
)
_FULL = (
    "the disk is full: a restore needs {} MB, {} MB are free. "
    "Make room on the backup host: `df -h /var/lib/docker`"
)


class Proof:
    """One proof, while it is made. Nothing that it looks for is raised: it becomes a finding."""

    def __init__(self, repository: Repository, say: Callable[[str], object] = lambda _line: None) -> None:
        """say: told each finding at once."""
        self._repository = repository
        self._say = say
        self._begun = datetime.now(UTC)
        self._checks: list[Check] = []
        self._backup: Backup | None = None
        self._line = Line(1)
        self._newest: str | None = None
        self._rpo: float | None = None
        self._rto: float | None = None

    def of_repository(self, index: int) -> None:
        """Read every file of it."""
        with self._looking(f"repository {index}") as found:
            found.extend(_few(self._repository.damage(index)))

    def of_wal(self, index: int) -> None:
        """Whether WAL is complete from the oldest backup to now; the newest one is what follows is about."""
        with self._looking("wal") as found:
            own = self._repository.info().of(index)
            archive = newest(own).archive
            files = self._repository.files(archive, index)
            line = self._line = self._repository.line(archive, index, files)
            usable = on_line([it for it in own if it.archive == archive], line)
            self._backup = newest(usable)
            first = min((it.wal_start for it in usable), key=number)
            missing = holes(segments(files), first, line)
            if missing:
                found.append(_HOLES.format(spans(missing)))

    def of_restore(
        self, assertions: Sequence[Mapping[str, str]], margin: int, volume_options: Sequence[str]
    ) -> None:
        """Restore the newest backup with all WAL, start it and try it."""
        if not self._backup:
            return
        source, stanza = self._repository.container, self._repository.stanza
        with (
            self._looking("scratch", only_failures=True),
            scratch(self._repository.run, source, stanza, volume_options) as place,
        ):
            if self._restored(place, self._backup, margin):
                self._tried(place, assertions)

    def _restored(self, place: Scratch, backup: Backup, margin: int) -> bool:
        with self._looking("space") as found:
            needed, free = backup.size + margin, place.free()
            if free < needed:
                found.append(_FULL.format(needed >> 20, free >> 20))
        if not self._checks[-1].ok:
            return False
        started = time.monotonic()
        with self._looking("restore"):
            place.restore(f"--repo={backup.repository}", f"--set={backup.label}")
        if not self._checks[-1].ok:
            return False
        with self._looking("recovery") as found:
            place.start(DAY)
            replayed, segment = place.ask(_STATE).split("|")
            self._rto = round(time.monotonic() - started, 1)
            # What was committed until the backup ended is in it, also where no later transaction came.
            moment = max(backup.ended.timestamp(), float(replayed or 0))
            self._newest = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
            self._rpo = round(max(self._begun.timestamp() - moment, 0), 1)
            found.extend(self._short(segment, backup))
        return self._rto is not None

    def _tried(self, place: Scratch, assertions: Sequence[Mapping[str, str]]) -> None:
        with self._looking("pages") as found:
            found.extend(_few(place.damage()))
        for assertion in assertions:
            with self._looking(f"assertion {assertion['name']}") as found:
                answer = place.ask(assertion["sql"], assertion["database"])
                if answer != "t":
                    said = answer[:80] or "nothing"
                    found.append(f"answered {said}, not t. Look into the data, or correct the assertion")

    def _short(self, segment: str, backup: Backup) -> list[str]:
        """Recovery that meets a hole takes it for the end and says nothing."""
        held = self._repository.segments(backup.archive, backup.repository)
        # Of its own way alone: one that a restore has left may have come further.
        own = [it for it in held if name(self._line.of(number(it)), number(it)) == it]
        last = max(own, key=number, default=segment)
        # One more may have arrived since.
        if number(segment) + 2 >= number(last):
            return []
        return [f"it ended in {segment} although the archive has WAL up to {last}: what is between is lost"]

    def result(self) -> Verification:
        backup = self._backup
        return Verification(
            id=f"{self._begun:%Y%m%dT%H%M%S}-{uuid4().hex[:6]}",
            begun=self._begun.isoformat(timespec="seconds"),
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
            repository=backup.repository if backup else 0,
            backup=backup.label if backup else "",
            ok=all(check.ok for check in self._checks),
            newest=self._newest,
            rpo=self._rpo,
            rto=self._rto,
            bytes=backup.size if backup else 0,
            checks=tuple(self._checks),
        )

    @contextmanager
    def _looking(self, name: str, *, only_failures: bool = False) -> Iterator[list[str]]:
        """A known failure is a finding; the body gets a list for what else it finds wrong."""
        begun, found = time.monotonic(), list[str]()
        try:
            yield found
        except SlipwayError as error:
            found.append(f"{error.problem}. {error.remedy}")
        if found or not only_failures:
            detail = "; ".join(found) or "well"
            self._checks.append(Check(name, not found, detail, round(time.monotonic() - begun, 1)))
            self._say(f"{name}: {detail}")


def prove(
    repository: Repository,
    assertions: Sequence[Mapping[str, str]],
    repositories: Sequence[int] = (1,),
    *,
    say: Callable[[str], object] = lambda _line: None,
    volume_options: Sequence[str] = (),
    margin: int = MARGIN,
) -> Verification:
    """Verify every repository, then restore the first one's newest backup with all its WAL, and try it."""
    proof = Proof(repository, say)
    for index in repositories:
        proof.of_repository(index)
    proof.of_wal(repositories[0])
    proof.of_restore(assertions, margin, volume_options)
    return proof.result()


def _few(lines: Sequence[str], most: int = 5) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], *([f"and {more} more"] if more > 0 else [])]
