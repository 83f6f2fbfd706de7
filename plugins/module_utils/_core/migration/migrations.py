"""What must run to bring a database from the migrations it has to those it should have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Problem, SlipwayError
from .migration_file import EXPAND, Script, kind, script

APPLIED = "applied"
APPLYING = "applying"
REVERTING = "reverting"


@dataclass(frozen=True)
class Migration:
    """One number of the folder: the texts that lead to it and back from it."""

    number: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()

    @property
    def label(self) -> str:
        return f"{self.number:06d}_{self.name}"

    @property
    def kind(self) -> str:
        return kind(self.up)

    def script(self, direction: str) -> Script:
        return script(f"{self.label}.{direction}.sql", self.up if direction == "up" else self.down)


@dataclass(frozen=True)
class Record:
    """One row of the ledger (table slipway_migrations): a migration the database has, or has in part.

    state: `applied`; `applying` and `reverting` mark a file outside of a transaction that was left half-way.
    statement: how many statements of such a file are known to be done.
    kind: `expand` or `contract`; None where it was applied before that was recorded.
    """

    number: int
    name: str
    checksum: str
    state: str
    statement: int
    applied_at: str
    duration_ms: int
    applied_by: str
    kind: str | None = None

    @property
    def label(self) -> str:
        return f"{self.number:06d}_{self.name}"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Record:
        """A row of the table, whose columns may be fewer or more than this version's."""
        return cls(**{name: value for name, value in row.items() if name in cls.__annotations__})


@dataclass(frozen=True)
class Step:
    """One file to run. `finished` means that all of it is done and only the ledger is behind."""

    direction: str
    migration: Migration
    finished: bool = False

    @property
    def file(self) -> str:
        return f"{self.migration.label}.{self.direction}.sql"

    def __str__(self) -> str:
        verb = "record" if self.finished else {"up": "apply", "down": "revert"}[self.direction]
        return f"{verb} {self.file}"


def level(ledger: Sequence[Record]) -> int:
    """The highest migration the database has."""
    return max((record.number for record in ledger), default=0)


def status(folder: Sequence[Migration], ledger: Sequence[Record]) -> list[dict[str, Any]]:
    """Every number that the folder or the database knows, and how it stands."""
    rows: dict[int, dict[str, Any]] = {
        migration.number: {"number": migration.number, "name": migration.name, "state": "pending"}
        for migration in folder
    }
    for record in ledger:
        rows[record.number] = {
            "number": record.number,
            "name": record.name,
            "state": record.state,
            "applied_at": record.applied_at,
            "applied_by": record.applied_by,
            "duration_ms": record.duration_ms,
        }
    return [rows[number] for number in sorted(rows)]


def goal(target: str, folder: Sequence[Migration]) -> int:
    """The number that `target` names."""
    numbers = [migration.number for migration in folder]
    if target == "latest":
        return max(numbers, default=0)
    if target.isdecimal() and int(target) in (0, *numbers):
        return int(target)
    known = f"{min(numbers)} to {max(numbers)}" if numbers else "nothing"
    raise SlipwayError(
        f"target {target!r} is no migration; the folder holds {known}",
        "Use `latest`, 0 or one of its numbers",
    )


def plan(folder: Sequence[Migration], ledger: Sequence[Record], target: int, allow_down: bool) -> list[Step]:
    """The files to run, in order; raises with every reason why that would be unsafe."""
    steps = missing(folder, ledger, target, allow_down)
    faults = unfit(steps)
    if faults:
        listing = "".join(f"\n  - {fault}" for fault in faults)
        raise SlipwayError(
            f"these migrations cannot be run:{listing}\nNothing was run", "Correct the files and run again"
        )
    return steps


def missing(
    folder: Sequence[Migration], ledger: Sequence[Record], target: int, allow_down: bool
) -> list[Step]:
    """The files that lead to the target, whether they can be run or not."""
    _agree(folder, ledger)
    by_number = {migration.number: migration for migration in folder}
    steps = [
        _resumed(record, by_number)
        for record in ledger
        if record.state != APPLIED and record.number in by_number
    ]
    done = {record.number for record in ledger if record.state == APPLIED}
    for step in steps:
        if step.direction == "up":
            done.add(step.migration.number)
    steps += [
        Step("up", migration)
        for migration in folder
        if migration.number <= target and migration.number not in done
    ]
    downward = [
        migration for migration in reversed(folder) if migration.number > target and migration.number in done
    ]
    if downward and not allow_down:
        names = ", ".join(migration.label for migration in downward)
        raise SlipwayError(
            f"reaching {target} would revert {names}, and data with them",
            "Set `allow_down: true` where that is meant, or choose a higher target",
        )
    return steps + [Step("down", migration) for migration in downward]


def unfit(steps: Sequence[Step]) -> list[Problem]:
    """What is wrong with the files themselves: all are read before the first is run."""
    return [problem for step in steps for problem in step.migration.script(step.direction).problems]


def _agree(folder: Sequence[Migration], ledger: Sequence[Record]) -> None:
    """Refuse a folder that tells another history than the ledger."""
    by_number = {migration.number: migration for migration in folder}
    faults = []
    for record in ledger:
        migration = by_number.get(record.number)
        if migration is None and not _beyond(record, folder):
            faults.append(f"{record.label} is applied and its file is missing: put the file back")
        elif migration is None:
            continue
        elif record.state == APPLIED and migration.checksum != record.checksum:
            faults.append(_edited(record, migration))
    applied = {record.number for record in ledger}
    faults += [
        f"{migration.label} is new, but {level(ledger):06d} is applied already: give it the next free number"
        for migration in folder
        if migration.number not in applied and migration.number < level(ledger)
    ]
    if faults:
        listing = "".join(f"\n  - {fault}" for fault in faults)
        raise SlipwayError(
            f"the migrations folder and the database disagree:{listing}\nNothing was run",
            "Put the folder right; a change to the schema is always a new file",
        )


def _beyond(record: Record, folder: Sequence[Migration]) -> bool:
    """Whether a later release has left an expand, with which an earlier one can live by its nature."""
    return record.kind == EXPAND and record.number > max((it.number for it in folder), default=0)


def _edited(record: Record, migration: Migration) -> str:
    sums = f"sha256 {record.checksum[:12]} then, {migration.checksum[:12]} now"
    if record.name != migration.name:
        return f"{record.label} ran, the folder has {migration.label} ({sums}): restore it, renumber the new"
    return (
        f"{record.label} was edited after it ran at {record.applied_at} ({sums}): restore it, add a new file"
    )


def _resumed(record: Record, by_number: Mapping[int, Migration]) -> Step:
    """How to go on with a file that was left half-way, or a failure that says exactly where it stopped."""
    step = Step("up" if record.state == APPLYING else "down", by_number[record.number])
    content = step.migration.script(step.direction)
    unchanged = record.state == REVERTING or step.migration.checksum == record.checksum
    if unchanged and record.statement == len(content.statements):
        return Step(step.direction, step.migration, finished=True)
    if content.repeatable:
        return step
    stopped = f"statement {record.statement + 1} of {len(content.statements)}"
    if record.statement < len(content.statements):
        first = content.statements[record.statement]
        stopped += f" (line {first.line}: {' '.join(first.words[:4])} …)"
    raise SlipwayError(
        f"{step.file} runs outside of a transaction and did not reach its end: begun at {record.applied_at} "
        f"by {record.applied_by}, {record.statement} statements are done, {stopped} may be done in part. "
        "Nothing was run",
        "Make the file safe to run again (DROP INDEX CONCURRENTLY IF EXISTS …, IF NOT EXISTS), "
        "add `-- slipway: repeatable` to its opening lines, and run again",
    )
