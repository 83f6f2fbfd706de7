"""A copy that outlives the module call that began it, and tells its progress; and the plan of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..backup.backup_work import Backups
from ..host_job import Log, begin
from ..postgresql.postgres import Psql
from . import masking_sql
from .clone_source import Source, told
from .masking import Column, Rules, applied, parse_columns


def log(root: Path) -> Log:
    return Log(root / "state/clone.jsonl")


def start(root: Path, rules: Mapping[str, Rules], owner: int, public: Sequence[str]) -> None:
    """The last event says where the dumps are."""
    repository = Backups(root).repository  # refuses where this host keeps none
    begin(
        log(root),
        "copy",
        lambda say: {"done": told(Source(repository, root, say, owner).copy(rules, public))},
    )


def plan(psql: Psql, rules: Mapping[str, Rules]) -> list[str]:
    """What a copy would be, as the databases are now; SlipwayError where the rules leave something open."""
    lines = []
    for database, own in rules.items():
        inside = psql.on(database)
        columns = parse_columns(inside.ask(masking_sql.COLUMNS))
        rule_of = applied(columns, own)
        sizes: Mapping[str, int] = json.loads(inside.ask(masking_sql.SIZES))
        size = sum(sizes.values()) / (1 << 20)
        lines.append(f"{database}: {len({it.table for it in columns})} tables, {size:.0f} MB")
        lines += _of_tables(columns, rule_of)
    return lines


def _of_tables(columns: list[Column], rule_of: Mapping[Column, str]) -> list[str]:
    tables = dict.fromkeys(column.table for column in columns)
    return [
        f"  {table}: "
        + (", ".join(f"{it.name} {rule}" for it, rule in rule_of.items() if it.table == table) or "as it is")
        for table in tables
    ]
