"""All that is held of one person: shown as JSON, or erased, by the stack's own SQL, in one transaction."""

from __future__ import annotations

import json
from typing import Any

from ..errors import SlipwayError
from ..postgresql import sql
from ..postgresql.postgres import Psql

_SECONDS = 600
# Transaction control would end the transaction that holds all of it together.
_CONTROL = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "PREPARE", "CALL"}
_CHANGED = """SELECT 'slipway:changed ' || coalesce(json_object_agg(
    CASE schemaname WHEN 'public' THEN relname ELSE schemaname || '.' || relname END,
    json_build_object('deleted', n_tup_del, 'changed', n_tup_upd, 'added', n_tup_ins)), '{}')
FROM pg_catalog.pg_stat_xact_user_tables WHERE n_tup_del + n_tup_upd + n_tup_ins > 0;
"""
_TABLE = """SELECT pg_advisory_xact_lock(7310604132);
CREATE SCHEMA IF NOT EXISTS slipway;
CREATE TABLE IF NOT EXISTS slipway.subject_requests (
    id text PRIMARY KEY,
    stack text NOT NULL,
    database text NOT NULL,
    what text NOT NULL,
    reference text NOT NULL,
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL,
    changed jsonb NOT NULL DEFAULT '{}'
);
"""


def judged(path: str, text: str, what: str) -> list[str]:
    """The statements of a file; SlipwayError says why they cannot be run. what: `export` or `erase`."""
    found = sql.statements(text)
    if isinstance(found, sql.Fault):
        raise SlipwayError(f"{path}:{found.line}: {found.problem}", "Correct it")
    if what == "export" and len(found) != 1:
        raise SlipwayError(
            f"{path} has {len(found)} statements, and an export is one query",
            "Write one: SELECT json_build_object('orders', (SELECT json_agg(…) FROM …), …) AS everything",
        )
    if not found:
        raise SlipwayError(f"{path} has no statement", "Write what erases a person's data")
    for statement in found:
        first = statement.words[0] if statement.words else ""
        if what == "export" and first not in ("SELECT", "WITH", "TABLE", "VALUES"):
            raise SlipwayError(f"{path}:{statement.line}: {first} is no query", "Write a SELECT")
        if first in _CONTROL:
            raise SlipwayError(
                f"{path}:{statement.line}: {first} would end the transaction", "Remove it: all runs in one"
            )
    if "slipway.subject" not in text:
        raise SlipwayError(
            f"{path} asks for nobody", "Name the person as current_setting('slipway.subject') in it"
        )
    return [statement.text for statement in found]


def export(psql: Psql, query: str, subject: str) -> list[Any]:
    """Every row of the query, as an object; nothing can be changed by it."""
    told = _run(
        psql,
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
        f"{_named(subject)}"
        "SELECT 'slipway:rows ' || coalesce(pg_catalog.json_agg(pg_catalog.row_to_json(it)), '[]') FROM (\n"
        f"{query}\n) AS it;\nCOMMIT;\n",
        "rows",
    )
    return list(told)


def erase(psql: Psql, statements: list[str], subject: str, end: str = "COMMIT") -> dict[str, Any]:
    """Run them all, or none; how many rows of which tables were deleted and changed.

    end: ROLLBACK to see what it would be.
    """
    script = "".join(f"{statement};\n" for statement in statements)
    quiet = "\\o /dev/null\n"
    told = _run(psql, f"BEGIN;\n{_named(subject)}{quiet}{script}\\o\n{_CHANGED}{end};\n", "changed")
    return dict(told)


def note(psql: Psql, row: dict[str, str], changed: dict[str, Any] | None) -> None:
    """Who has erased or exported what, when; never of whom: that stands behind `reference`, elsewhere."""
    names = ("id", "stack", "database", "what", "reference", "by")
    values = ", ".join(sql.literal(row[name].replace("\x00", "")) for name in names)
    state = "begun" if changed is None else "done"
    detail = sql.literal(json.dumps(changed or {}, sort_keys=True))
    answer = psql.send(
        f"BEGIN;\n{_TABLE}INSERT INTO slipway.subject_requests ({', '.join(names)}, state, changed) "
        f"VALUES ({values}, '{state}', {detail}) ON CONFLICT (id) DO UPDATE SET state = excluded.state, "
        "changed = excluded.changed, at = now();\nCOMMIT;\n"
    )
    if not answer.ok:
        raise SlipwayError(
            f"slipway.subject_requests cannot be written: {answer.error}",
            "Correct the cause first: what is done with a person's data must be on record",
        )


def _named(subject: str) -> str:
    """In the session alone: no argument of a command, and no part of the statements, which may be logged."""
    return f"SELECT pg_catalog.set_config('slipway.subject', {sql.literal(subject)}, false) IS NULL;\n"


def _run(psql: Psql, script: str, mark: str) -> Any:
    answer = psql.send(
        f"SET statement_timeout = '{_SECONDS - 5}s';\nSET lock_timeout = '30s';\n{script}", _SECONDS
    )
    if not answer.ok:
        raise SlipwayError(
            # Its first line: those that follow may quote the person's data.
            f"{psql.database}: {(answer.error or str(answer.code)).splitlines()[0]}",
            "Nothing was changed; correct the SQL file, or what stands in its way",
        )
    found = answer.out.partition(f"slipway:{mark} ")[2]
    return json.loads(found)
