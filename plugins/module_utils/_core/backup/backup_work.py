"""What is done to a stack's backups on their host: by its timers, and by the module that playbooks call.

roles/host installs this file and those it imports as a program of the host: nothing but Python may be needed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import SlipwayError
from ..only_one import only_one
from ..run import Run, process
from .backup_errors import LockedError
from .backup_info import KINDS
from .backup_proof import prove
from .backup_report import LastRun, Reports, Verification
from .backup_repository import Repository, Settings
from .backups import due

Say = Callable[[str], object]
# What systemd is told where another one is at work: not a failure, try again.
TRY_AGAIN = 75


class Backups:
    """One stack's backups on this host. root: the stack's folder, /opt/<stack>."""

    def __init__(self, root: Path, run: Run = process, container: str = "") -> None:
        self._settings = Settings.read(root)
        self._root = root
        self.repository = Repository(run, container or self._settings.container, self._settings.stack)
        self._reports = Reports(root)

    def _only_one(self) -> AbstractContextManager[None]:
        """All work on this host's backups."""
        at_work = LockedError(
            "another backup or verification is at work on this host",
            "Wait until it has ended: `systemctl list-units 'slipway-backup*'`",
        )
        return only_one(self._root / "state/backups.lock", at_work)

    def ready(self, *, adopt: bool = False) -> str:
        """Make the stanza where it is missing; what was done."""
        done = self.repository.ensure(self._settings.members, adopt=adopt)
        self._reports.tell(self.repository.info())
        return done

    def at_rest(self) -> bool:
        """Whether the other one of two sites serves; asked each time, as no release goes with a change."""
        return self.repository.follows(self._settings.members)

    def due(self) -> dict[int, str]:
        """Repository -> kind of backup to make now."""
        info, now = self.repository.info(), datetime.now(UTC)
        kinds = {it: due(self._settings.schedule, info.of(it), now) for it in self._settings.repositories}
        return {number: kind for number, kind in kinds.items() if kind}

    def take(self, kind: str, say: Say, *, adopt: bool = False) -> LastRun:
        """A backup into every repository. kind: one of KINDS; "": whatever is due, if any."""
        with self._only_one():
            wanted = dict.fromkeys(self._settings.repositories, kind) if kind else self.due()
            begun, started = datetime.now(UTC), time.monotonic()
            if not wanted:
                self._reports.tell(self.repository.info())
                say("no backup is due")
                return LastRun(_iso(begun), "none", True, 0.0)
            try:
                self._each(wanted, say, adopt=adopt)
                return self._ended(begun, started, wanted, "")
            except LockedError:
                # One whose program was killed is still at work in the repository, and may well end well.
                raise
            except SlipwayError as error:
                self._ended(begun, started, wanted, str(error))
                raise

    def _each(self, wanted: dict[int, str], say: Say, *, adopt: bool) -> None:
        if step := self.repository.ensure(self._settings.members, adopt=adopt):
            say(f"{step}: done")
        failed: list[SlipwayError] = []
        for number, kind in wanted.items():
            say(f"{kind} backup into repository {number}")
            try:
                self.repository.take(kind, number)
                say(self._newest(number))
            except SlipwayError as error:
                # One that is broken must not keep the other from getting its own.
                failed.append(error)
                say(f"repository {number}: {error.problem}")
        if failed:
            passing = all(isinstance(error, LockedError) for error in failed)
            failure = LockedError if passing else SlipwayError
            raise failure("; ".join(error.problem for error in failed), failed[0].remedy)

    def _newest(self, number: int) -> str:
        found = self.repository.info().of(number)
        if not found:
            raise SlipwayError(
                "the backup was made, and its repository does not show it",
                "See `pgbackrest info` on this host",
            )
        backup = found[-1]
        seconds = (backup.ended - backup.begun).total_seconds()
        return f"{backup.label}: {backup.size >> 20} MB, {backup.stored >> 20} MB stored, {seconds:.0f} s"

    def _ended(self, begun: datetime, started: float, wanted: dict[int, str], reason: str) -> LastRun:
        seconds = round(time.monotonic() - started, 1)
        last = LastRun(_iso(begun), next(iter(wanted.values())), not reason, seconds, reason)
        self._reports.record_run(last)
        try:
            info = self.repository.info()
        except SlipwayError:
            info = None
        self._reports.tell(info)
        return last

    def verify(self, say: Say) -> Verification:
        with self._only_one():
            proof = prove(self.repository, self._settings.assertions, self._settings.repositories, say=say)
            self._reports.record_verification(proof)
            try:
                self._reports.tell(self.repository.info())
            except SlipwayError as error:
                say(error.problem)
                self._reports.tell(None)
            return proof

    def verifications(self) -> list[Verification]:
        return self._reports.verifications()

    def progress(self) -> float | None:
        """Percent of the backup that runs now."""
        return self.repository.info().percent


def main(arguments: Sequence[str]) -> int:
    """`STACK scheduled` or `STACK verify`, from a timer; `STACK full|diff|incr` for a person at the host."""
    if len(arguments) != 2 or arguments[1] not in ("scheduled", "verify", *KINDS):
        print("usage: backup STACK scheduled|verify|full|diff|incr", file=sys.stderr)
        return 2
    stack, what = arguments
    try:
        backups = Backups(Path("/opt") / stack)
        if what in ("scheduled", "verify") and backups.at_rest():
            _print("this site follows the other one, which has the backups: nothing to do")
            return 0
        if what == "verify":
            proof = backups.verify(_print)
            _print(f"rpo {proof.rpo} s, rto {proof.rto} s")
            return 0 if proof.ok else 1
        backups.take("" if what == "scheduled" else what, _print)
    except LockedError as error:
        _print(str(error))
        return TRY_AGAIN
    except SlipwayError as error:
        print(str(error), file=sys.stderr, flush=True)
        return 1
    return 0


def _print(line: str) -> None:
    print(line, flush=True)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
