"""Walk the user's input along a schema and note every fault.

A faulty value is replaced by a blank of its type, so that reading goes on and all that is wrong is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import Problem, SlipwayError
from ..wording import did_you_mean, listed, plain, shown, type_of
from .kinds import REQUIRED, Entries, Key, Kind, ListOf, Table


class Faults:
    """What is wrong so far, and which paths hold a stand-in that must not be judged any further."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._replaced: set[str] = set()

    def replaced(self, path: str, problem: str, remedy: str) -> None:
        self.problems.append(Problem(path, problem, remedy))
        self._replaced.add(path)

    def judged(self, problems: Iterable[Problem]) -> None:
        """Add what a rule found, unless it was found in a stand-in."""
        self.problems += [problem for problem in problems if not self._is_stand_in(problem.path)]

    def within(self, path: str) -> bool:
        """Whether anything at or below a path is at fault."""
        return any(f"{problem.path}/".startswith(f"{path}/") for problem in self.problems)

    def _is_stand_in(self, path: str) -> bool:
        parts = path.split("/")
        return any("/".join(parts[:length]) in self._replaced for length in range(1, len(parts) + 1))


def read(kind: Kind, value: object, path: str, faults: Faults) -> Any:
    """The value as its kind has it; where it is at fault, a blank."""
    try:
        if isinstance(kind, Table):
            return _read_table(kind, value, path, faults)
        if isinstance(kind, Entries):
            return _read_entries(kind, value, path, faults)
        if isinstance(kind, ListOf):
            return _read_list(kind, value, path, faults)
        return kind.parse(value)
    except SlipwayError as fault:
        faults.replaced(path, fault.problem, fault.remedy)
        return _blank(kind)


def _read_table(table: Table, value: object, path: str, faults: Faults) -> dict[str, Any] | None:
    if value is False and table.may_be_off:
        return None
    given = _as_written(_mapping(value, str(table)), table)
    for unknown in (key for key in given if key not in table.keys):
        remedy = did_you_mean(unknown, table.keys)
        remedy += "Rename or remove it" if remedy else f"Known here: {listed(table.keys)}"
        faults.problems.append(Problem(f"{path}/{plain(unknown)}", "is not a known key", remedy))
    return {
        name: _read_key(key, given.get(name), f"{path}/{name}", faults) for name, key in table.keys.items()
    }


def _as_written(given: Mapping[Any, Any], table: Table) -> Mapping[Any, Any]:
    """YAML 1.1 reads a bare key `on` as the boolean true."""
    if "on" not in table.keys or "on" in given:
        return given
    return {"on" if key is True else key: item for key, item in given.items()}


def _read_key(key: Key, value: object, path: str, faults: Faults) -> Any:
    if value is not None:
        return read(key.kind, value, path, faults)
    if key.default is REQUIRED:
        faults.replaced(path, "is missing", f"Add it: {key.kind}")
        return _blank(key.kind)
    return None if key.default is None else read(key.kind, key.default, path, faults)


def _read_entries(entries: Entries, value: object, path: str, faults: Faults) -> dict[str, Any]:
    given = _mapping(value, str(entries))
    if len(given) < entries.least:
        raise SlipwayError("is empty", f"Write {entries}")
    result = {}
    for name, item in given.items():
        here = f"{path}/{plain(name)}"
        try:
            entries.name.parse(name)
        except SlipwayError as fault:
            faults.problems.append(Problem(here, f"has a name that {fault.problem}", fault.remedy))
        bare = item is None and isinstance(entries.item, Table)
        result[plain(name)] = read(entries.item, {} if bare else item, here, faults)
    return result


def _read_list(kind: ListOf, value: object, path: str, faults: Faults) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise SlipwayError(
            f"is {type_of(value)}, not a list", "Write it in brackets, separated by commas: [a, b]"
        )
    if len(value) < kind.least:
        raise SlipwayError("is an empty list", "Name at least one, or leave the key out")
    items = tuple(read(kind.item, item, f"{path}/{index}", faults) for index, item in enumerate(value))
    if kind.distinct:
        twice = [index for index, item in enumerate(items) if item in items[:index]]
        again = [Problem(f"{path}/{at}", f"names {shown(items[at])} again", "Name it once") for at in twice]
        faults.judged(again)
    return items


def _blank(kind: Kind) -> Any:
    if isinstance(kind, Table):
        return read(kind, {}, "", Faults())
    return {} if isinstance(kind, Entries) else kind.blank


def _mapping(value: object, form: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise SlipwayError(f"is {type_of(value)}, not a table", f"Write {form}")
    return value
