"""When a release's migrations run: what it needs before it gets traffic, what only it alone can live with,
and whether an earlier release could serve again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Problem, SlipwayError
from .migration_file import CONTRACT, EXPAND
from .migrations import APPLIED, Migration, Record, Step, level, missing, unfit
from .migrator import folder as read


@dataclass(frozen=True)
class Outlook:
    """What a release would run, and why it must not.

    fresh: no release serves that knows this database; there is nobody to break or to block.
    """

    expand: tuple[Step, ...]
    contract: tuple[Step, ...]
    fresh: bool
    problems: tuple[Problem, ...]

    def told(self) -> dict[str, Any]:
        """As the control node reads it, from whichever host leads."""
        return {
            "fresh": self.fresh,
            "expand": [step.file for step in self.expand],
            "contract": [step.file for step in self.contract],
            "problems": [str(problem) for problem in self.problems],
        }


def served(folder: Path) -> tuple[Migration, ...]:
    """The migrations of all services of the release that serves; none before the first."""
    return tuple(migration for path in _folders(folder) for migration in read(path))


def outlook(folder: Sequence[Migration], ledger: Sequence[Record], serving: Sequence[Migration]) -> Outlook:
    """Sort what is missing into before and after; all problems of files and of their order at once."""
    steps = missing(folder, ledger, max((it.number for it in folder), default=0), False)
    target = before_traffic(folder, ledger, serving)
    first = tuple(step for step in steps if step.migration.number <= target)
    rest = tuple(step for step in steps if step.migration.number > target)
    fresh = _is_fresh(ledger, serving)
    problems = [*unfit(steps), *([] if fresh else _out_of_order(first, ledger, serving))]
    return Outlook(first, rest, fresh, tuple(problems))


def before_traffic(
    folder: Sequence[Migration], ledger: Sequence[Record], serving: Sequence[Migration]
) -> int:
    """The last migration that must have run before the new release gets traffic."""
    if _is_fresh(ledger, serving):
        return max((it.number for it in folder), default=0)
    done = {record.number for record in ledger if record.state == APPLIED}
    expands = [it.number for it in folder if it.kind == EXPAND and it.number not in done]
    return max([level(ledger), *expands])


def expand_target(folder: Sequence[Migration], ledger: Sequence[Record], serving: Sequence[Migration]) -> int:
    """The same, where nothing stands in the way; else everything that does is raised."""
    if problems := outlook(folder, ledger, serving).problems:
        listing = "".join(f"\n  - {problem}" for problem in problems)
        raise SlipwayError(f"these migrations cannot be run:{listing}\nNothing was run", "Correct them first")
    return before_traffic(folder, ledger, serving)


def _is_fresh(ledger: Sequence[Record], serving: Sequence[Migration]) -> bool:
    return _identities(ledger).isdisjoint(_identities(serving))


def _out_of_order(
    first: Sequence[Step], ledger: Sequence[Record], serving: Sequence[Migration]
) -> list[Problem]:
    """Contracts that would run before traffic moves, though the release that serves needs what they remove.

    It lives without that where it brought the contract itself, or where one that did had got as far as to
    begin it.
    """
    brought, begun = _identities(serving), {record.number for record in ledger}
    ups = [step.migration for step in first if step.direction == "up"]
    problems = []
    for it in ups:
        behind = next((other for other in ups if other.number > it.number and other.kind == EXPAND), None)
        lived_without = it.number in begun or (it.number, it.checksum) in brought
        if it.kind == CONTRACT and behind and not lived_without:
            problem = f"is a contract, and {behind.label}, an expand of the same release, stands behind it"
            remedy = (
                "The expand must run before the new release gets traffic, the contract after: give the "
                "contract the higher number, or release the revision that ends with it first"
            )
            problems.append(Problem(f"{it.label}.up.sql", problem, remedy))
    return problems


def obstacles(
    folder: Sequence[Migration], ledger: Sequence[Record], serving: Sequence[Migration]
) -> list[Problem]:
    """Why a release with this folder cannot serve with the schema as it is; nothing is ever reverted."""
    mine, theirs = _identities(folder), _identities(ledger)
    numbers = {it.number for it in folder}
    half = {record.number for record in ledger if record.state != APPLIED}
    problems = []
    for record in ledger:
        if record.number in half & numbers:
            problem = f"is half done in the database ({record.state} since {record.applied_at})"
            problems.append(Problem(record.label, problem, "Finish it first: deploy the release that has it"))
        elif (record.number, record.checksum) not in mine:
            problems += _foreign(record, serving)
    for it in folder:
        if it.kind == EXPAND and it.number not in half and (it.number, it.checksum) not in theirs:
            problem = "is needed by that release, and the database does not have it"
            problems.append(Problem(it.label, problem, "Deploy the revision that declares it instead"))
    return problems


def _foreign(record: Record, serving: Iterable[Migration]) -> list[Problem]:
    """A migration that the release does not have: it must not have taken anything away."""
    file = next((it for it in serving if (it.number, it.checksum) == (record.number, record.checksum)), None)
    kind = record.kind or (file.kind if file else "")
    if kind == EXPAND:
        return []
    told = "is a contract" if kind == CONTRACT else "was applied before its kind was recorded"
    part = "" if record.state == APPLIED else " in part"
    problem = f"{told} that the database has{part}, and that release may need what it removed"
    remedy = (
        "Go forward: release a correction that has this migration too. Only where its loss of data is "
        "acceptable, revert it by hand first (docs/runbooks/migrations.md)"
    )
    return [Problem(record.label, problem, remedy)]


def _identities(items: Iterable[Migration | Record]) -> set[tuple[int, str]]:
    return {(it.number, it.checksum) for it in items}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
