"""Which migrations a folder holds, judged by its file names alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import SlipwayError

_NAME = re.compile(r"([0-9]{6})_([a-z0-9][a-z0-9_-]*)\.(up|down)\.sql")


@dataclass(frozen=True)
class MigrationFile:
    """One migration: its number, its name, and the names of its two files."""

    number: int
    name: str
    up: str
    down: str


def check_names(names: Iterable[str]) -> list[SlipwayError]:
    """Everything wrong with a folder's file names. Files other than `.sql` are not looked at."""
    found = sorted(name for name in names if name.endswith(".sql"))
    matches = {name: match for name in found if (match := _NAME.fullmatch(name))}
    problems = [
        SlipwayError(f"{name} is not named like a migration", "Name it like 000001_create_users.up.sql")
        for name in found
        if name not in matches
    ]
    if not found:
        return [
            SlipwayError("there are no migrations in it", "Add 000001_name.up.sql and 000001_name.down.sql")
        ]
    ups = [match for match in matches.values() if match[3] == "up"]
    return problems + _pairs(found, matches) + _numbers([(int(match[1]), match[2]) for match in ups])


def _pairs(found: list[str], matches: dict[str, re.Match[str]]) -> list[SlipwayError]:
    problems = []
    for name, match in matches.items():
        other = f"{match[1]}_{match[2]}.{'down' if match[3] == 'up' else 'up'}.sql"
        if other not in found:
            problems.append(SlipwayError(f"{name} has no {other} beside it", f"Add {other}"))
    return problems


def _numbers(numbered: list[tuple[int, str]]) -> list[SlipwayError]:
    problems = []
    counted = Counter(number for number, _ in numbered)
    for number in sorted(number for number, count in counted.items() if count > 1):
        rivals = " and ".join(sorted(name for other, name in numbered if other == number))
        problems.append(
            SlipwayError(f"number {number:06} is used by {rivals}", "Give each migration its own number")
        )
    expected = 1
    for number in sorted(counted):
        if number > expected:
            gap = f"{expected:06}" if number == expected + 1 else f"{expected:06} to {number - 1:06}"
            problem = f"{gap} is missing before {number:06}"
            problems.append(SlipwayError(problem, "Number migrations from 000001 without gaps"))
        expected = number + 1
    return problems


def read(names: Iterable[str]) -> list[MigrationFile]:
    """The folder's migrations in order; the first problem is raised, `check_names` lists them all."""
    names = list(names)
    problems = check_names(names)
    if problems:
        raise problems[0]
    matches = (_NAME.fullmatch(name) for name in sorted(names) if name.endswith(".up.sql"))
    return [
        MigrationFile(int(match[1]), match[2], match[0], match[0].removesuffix(".up.sql") + ".down.sql")
        for match in matches
        if match
    ]
