"""Brings one database to its target: one file after another, each in a session of its own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SlipwayError
from ..postgresql.postgres import QUICK, Answer, NotAdmittedError, Psql
from ..retry import Patience
from . import migration_sql
from .migration_sql import Progress, Session, progress
from .migrations import Migration, Record, Step, plan
from .migrations_folder import check_names, read

LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
_LINE = re.compile(r"^LINE (\d+):", re.M)


@dataclass(frozen=True)
class Goal:
    """What the database is to have: the folder, and how far along it."""

    folder: tuple[Migration, ...]
    target: int
    allow_down: bool


def folder(directory: Path) -> tuple[Migration, ...]:
    """Every migration of a folder, its names checked and its texts read."""
    try:
        names = [path.name for path in directory.iterdir()]
        if problems := check_names(names):
            listing = "".join(f"\n  - {problem}" for problem in problems)
            raise SlipwayError(
                f"{directory} is no migrations folder:{listing}\nNothing was run", "Correct the folder"
            )
        return tuple(
            Migration(file.number, file.name, _text(directory / file.up), _text(directory / file.down))
            for file in read(names)
        )
    except OSError as error:
        raise SlipwayError(
            f"migrations in {directory} cannot be read: {error.strerror}",
            "Deploy the release first, or correct `directory`",
        ) from error


class Migrator:
    """Runs steps against the leader.

    patience: says anew, after each step, how long to wait for others. before_first: is called once, if and
    when there is a step to run.
    """

    def __init__(
        self,
        psql: Psql,
        session: Session,
        seconds: float,
        patience: Callable[[], Patience],
        before_first: Callable[[], None] = lambda: None,
    ) -> None:
        # What files and ledger hide can do no more than whose they are.
        self._owned = psql.as_user(session.owner)
        self._psql = psql
        self._session = session
        self._seconds = seconds
        self._patience = patience
        self._before_first = before_first

    def ledger(self) -> list[Record]:
        return migration_sql.records(self._psql.ask(migration_sql.READ))

    def run(self, goal: Goal) -> tuple[list[Step], list[Record]]:
        """Run what is missing; return the steps taken and the ledger they led to.

        Another run may work on the same database: each session checks that the ledger is the one it was
        planned from, and where it is not, the plan is made again from what the other one left.
        """
        taken: list[Step] = []
        ledger = self.ledger()
        patience = self._patience()
        begun = False
        while steps := plan(goal.folder, ledger, goal.target, goal.allow_down):
            if not begun:
                self._before_first()
                begun = True
            came = self._attempt(steps[0], ledger, patience)
            if came is None:
                ledger = self.ledger()
                continue
            patience = self._patience()
            ledger = came
            taken.append(steps[0])
        return taken, ledger

    def _attempt(self, step: Step, ledger: Sequence[Record], patience: Patience) -> list[Record] | None:
        """The ledger after the step, or None when it is to be planned again."""
        script = migration_sql.run_file(step, self._session, ledger)
        try:
            answer = self._owned.send(script, self._limit(step))
        except NotAdmittedError:
            # A member that was just told to let owners in takes a moment; a connection may come free.
            if patience.again():
                return None
            raise
        came = progress(answer.out)
        if came.done:
            return self.ledger() if came.ledger is None else list(came.ledger)
        if answer.ok and came.moved and patience.again():
            return None
        if answer.ok and came.busy:
            if patience.again():
                return None
            raise self._lock_held()
        if answer.state == LOCK_NOT_AVAILABLE and _leaves_nothing(step) and patience.again():
            return None
        raise self._failure(step, answer, came)

    def _limit(self, step: Step) -> int:
        """When a session is beyond all hope; 0 for never, where statements may take any time."""
        if not self._seconds:
            return 0
        return math.ceil(self._seconds * len(step.migration.script(step.direction).statements)) + QUICK

    def _lock_held(self) -> SlipwayError:
        return SlipwayError(
            f"another migration of {self._psql.database} holds the lock: "
            f"{self._sessions(migration_sql.LOCK_HOLDER)}",
            "Wait for it, or end it with `SELECT pg_terminate_backend(<pid>)` if nobody knows of it",
        )

    def _failure(self, step: Step, answer: Answer, came: Progress) -> SlipwayError:
        script = step.migration.script(step.direction)
        where = step.file
        if came.statement:
            where += f", statement {came.statement} of {len(script.statements)} "
            where += f"(line {script.statements[came.statement - 1].line})"
        kept = _kept(step, came, bool(answer.state))
        if answer.state == LOCK_NOT_AVAILABLE:
            others = self._sessions(migration_sql.OPEN_TRANSACTIONS)
            return SlipwayError(
                f"{where} did not get its lock within lock_timeout {self._session.lock_timeout}, tried again "
                f"until `wait` was over. {kept}. Open transactions: {others}",
                "End the transaction that holds the lock, or run again at a quieter time",
            )
        if answer.state == QUERY_CANCELED:
            return SlipwayError(
                f"{where} was cancelled: {_first(answer.error)} ({self._session.statement_timeout}). {kept}",
                "Split the statement into smaller ones, or raise `statement_timeout` for this run",
            )
        if answer.state:
            told = _in_file(answer.error, script.statements[came.statement - 1].line if came.statement else 1)
            return SlipwayError(
                f"{where} failed: {told} [{answer.state}]. {kept}", "Correct the file and run again"
            )
        return SlipwayError(
            f"the session ended in {where} (exit status {answer.code}{': ' if answer.error else ''}"
            f"{_first(answer.error)}). {kept}",
            f"Check `docker logs {self._psql.container}` on the host and run again",
        )

    def _sessions(self, query: str) -> str:
        rows = json.loads(self._psql.ask(query))
        told = (
            f"pid {row['pid']} ({row['application'] or 'unnamed'}, {row['state']}, {row['seconds']} s)"
            for row in rows
        )
        return ", ".join(told) or "none any more"


def _text(path: Path) -> str:
    try:
        # Not read_text: it would turn CRLF into LF, and the checksum is one of bytes.
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SlipwayError(f"{path} is not UTF-8 at byte {error.start}", "Save it as UTF-8") from error
    if "\0" in text:
        raise SlipwayError(f"{path} holds a NUL character", "Remove it; PostgreSQL takes none in SQL")
    return text


def _leaves_nothing(step: Step) -> bool:
    """Whether a failed attempt may simply be repeated."""
    script = step.migration.script(step.direction)
    return script.transactional or script.repeatable


def _kept(step: Step, came: Progress, answered: bool) -> str:
    """What the database has of a file that failed; a session that was cut off may have committed unheard."""
    script = step.migration.script(step.direction)
    if script.transactional:
        return "Nothing of this file was kept" if answered else "This file was kept whole or not at all"
    begun = f"It runs outside of a transaction: {max(came.statement - 1, 0)} statements are done and kept"
    return (
        f"{begun}; the next run repeats the file"
        if script.repeatable
        else f"{begun}, this one may be done in part"
    )


def _in_file(error: str, first_line: int) -> str:
    """The server counts lines from the statement's first; an author counts from the file's."""
    return _LINE.sub(lambda match: f"LINE {int(match.group(1)) + first_line - 1}:", error)


def _first(text: str) -> str:
    return text.splitlines()[0].strip() if text.strip() else ""
