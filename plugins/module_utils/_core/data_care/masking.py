"""Which rule masks which column of a copy, and why a set of rules is refused: decisions, pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SlipwayError
from ..wording import did_you_mean, listed

HASH, FAKE_NAME, FAKE_EMAIL, EMPTY, KEEP, PUBLIC = (
    "hash",
    "fake_name",
    "fake_email",
    "empty",
    "keep",
    "public",
)
RULES = (HASH, FAKE_NAME, FAKE_EMAIL, EMPTY, KEEP, PUBLIC)
# Of these, no value may arrive.
MASKING = (HASH, FAKE_NAME, FAKE_EMAIL, EMPTY)

TEXT, UUID, JSON, BYTES, LIST, PLAIN, OTHER = "text", "uuid", "json", "bytes", "list", "plain", "other"
# What can stand for nothing where a column must not be null.
BLANKS: Mapping[str, str] = {TEXT: "", JSON: "{}", BYTES: "", LIST: "{}"}
# Characters that each takes at most; a hash is cut, down to what still tells values apart.
_LENGTHS = {HASH: 16, FAKE_NAME: 40, FAKE_EMAIL: 41}
Rules = Mapping[str, Mapping[str, str]]
# What the platform itself keeps in a database: of a person, only who has migrated.
_PLATFORM: Rules = {
    "slipway_migrations": {
        "name": PUBLIC,
        "checksum": PUBLIC,
        "state": PUBLIC,
        "kind": PUBLIC,
        "applied_by": EMPTY,
    }
}


@dataclass(frozen=True)
class Column:
    """A column as the catalog has it. table: as rules name it; kind: one of the words above.

    length: most characters, 0: any number. references: columns that this one refers to, as (table, column).
    whole: whether its table has partitions, which are masked with it.
    """

    schema: str
    relation: str
    name: str
    type: str
    kind: str
    length: int
    nullable: bool
    unique: bool
    generated: bool
    whole: bool
    references: tuple[tuple[str, str], ...]

    @property
    def table(self) -> str:
        return table_name(self.schema, self.relation)

    @property
    def sensitive(self) -> bool:
        """Whether it can hold text, and so what is a person's: it needs a rule."""
        return not self.generated and self.kind not in (PLAIN, UUID)

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Column:
        pairs = tuple((table_name(it["schema"], it["table"]), it["column"]) for it in told["references"])
        return cls(**{**told, "references": pairs})


def table_name(schema: str, relation: str) -> str:
    return relation if schema == "public" else f"{schema}.{relation}"


def parse_columns(told: str) -> list[Column]:
    return [Column.from_dict(column) for column in json.loads(told)]


def applied(columns: Sequence[Column], rules: Rules) -> dict[Column, str]:
    """The rule of each column that has one; SlipwayError lists all that stands in the way of a copy."""
    known = {**_PLATFORM, **{name.removeprefix("public."): own for name, own in rules.items()}}
    problems = [*_unknown(columns, rules), *_unfit(columns, known)]
    missing = [it for it in columns if it.sensitive and it.name not in known.get(it.table, {})]
    if missing:
        problems.append("columns that can hold text have no rule, and one of them may be new")
    if problems:
        raise SlipwayError(
            f"nothing is copied: {'; '.join(problems)}",
            f"Correct stack/data/databases/…/masking; docs/data-care.md says which rule is for what"
            f"{_to_paste(missing)}",
        )
    return {it: known[it.table][it.name] for it in columns if it.name in known.get(it.table, {})}


def _to_paste(columns: Sequence[Column]) -> str:
    """What a column holds is for a person to judge, so each stands there masked."""
    lines = []
    for table in dict.fromkeys(it.table for it in columns):
        lines.append(f"  {table}:")
        lines += [f"    {it.name}: {_suggested(it)}  # {it.type}" for it in columns if it.table == table]
    return "\n".join([". Those without a rule, to paste and to judge:\nmasking:", *lines]) if lines else ""


def _suggested(column: Column) -> str:
    return HASH if column.kind == TEXT and (column.unique or not column.nullable) else EMPTY


def _unknown(columns: Sequence[Column], rules: Rules) -> Iterator[str]:
    there: dict[str, list[str]] = {}
    for column in columns:
        there.setdefault(column.table, []).append(column.name)
    for given, own in rules.items():
        table = given.removeprefix("public.")
        if table not in there:
            yield f"masking/{given} is no table. {did_you_mean(table, there)}Tables: {listed(there)}"
            continue
        for name in own:
            if name not in there[table]:
                yield f"masking/{given}/{name} is no column. {did_you_mean(name, there[table])}".rstrip()


def _unfit(columns: Sequence[Column], rules: Rules) -> Iterator[str]:
    for column in columns:
        rule = rules.get(column.table, {}).get(column.name)
        if rule and rule in MASKING and (why := _why_not(column, rule)):
            yield f"masking/{column.table}/{column.name} cannot be {rule}: {why}"
        if column.generated and rule:
            yield f"masking/{column.table}/{column.name}: it is made of other columns, which need the rules"
        yield from _apart(column, rules)


def _apart(column: Column, rules: Rules) -> Iterator[str]:
    """Columns that refer to one another stay a pair only where both are masked alike."""
    rule = rules.get(column.table, {}).get(column.name)
    refers_to_nothing = rule == EMPTY and column.nullable
    for table, name in column.references:
        other = rules.get(table, {}).get(name)
        if rule != other and {rule, other} & {*MASKING} and not refers_to_nothing:
            yield (
                f"masking/{column.table}/{column.name} is {rule or 'without a rule'}, and {table}.{name}, to "
                f"which it refers, is {other or 'without a rule'}: they must be masked alike"
            )


def _why_not(column: Column, rule: str) -> str:
    if rule == EMPTY:
        return "" if column.nullable else _no_blank(column)
    if column.kind == UUID and rule == HASH:
        return ""
    if column.kind != TEXT:
        return f"it is {column.type}, not text; write {EMPTY}"
    short = 0 < column.length < _LENGTHS[rule]
    # A hash that is cut short is one that others may share.
    if short and (rule != HASH or column.unique or column.references):
        return f"it takes {column.length} characters, and {_LENGTHS[rule]} are needed"
    return ""


def _no_blank(column: Column) -> str:
    if column.kind not in BLANKS:
        return f"{column.type} must not be null, and has no empty value"
    return "its values must differ" if column.unique else ""
