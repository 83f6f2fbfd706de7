"""Release records as rows of `slipway.deployment_logs` in the database `postgres`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..errors import SlipwayError
from ..postgresql import sql
from ..postgresql.postgres import Psql
from .record import Record

# A release must not hang on its own book-keeping.
_LIMITS = """SET statement_timeout = '10s';
SET lock_timeout = '5s';
SET application_name = 'slipway record';
"""
# Two first runs of two stacks on one server would both find no table, and one would fail.
_TABLE = """SELECT pg_advisory_xact_lock(7310604131);
CREATE SCHEMA IF NOT EXISTS slipway;
CREATE TABLE IF NOT EXISTS slipway.deployment_logs (
    id text PRIMARY KEY,
    environment text NOT NULL,
    stack text NOT NULL,
    what text NOT NULL,
    release text NOT NULL,
    previous_release text,
    who text NOT NULL,
    machine text NOT NULL,
    begun timestamptz NOT NULL,
    ended timestamptz,
    revision text,
    outcome text NOT NULL,
    reason text,
    services_changed text[] NOT NULL,
    record jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS deployment_logs_begun ON slipway.deployment_logs (begun DESC);
"""
_COLUMNS = (
    "id",
    "environment",
    "stack",
    "what",
    "release",
    "previous_release",
    "who",
    "machine",
    "begun",
    "ended",
    "revision",
    "outcome",
    "reason",
    "services_changed",
    "record",
)


def script(records: Sequence[Record]) -> str:
    """One transaction that makes the table where it is missing and writes each record, new or again."""
    return f"BEGIN;\n{_LIMITS}{_TABLE}{''.join(map(_upsert, records))}COMMIT;\n"


def write(psql: Psql, records: Sequence[Record]) -> None:
    """Write records; SlipwayError where the database does not take them."""
    answer = psql.send(script(records))
    if not answer.ok:
        raise SlipwayError(
            f"slipway.deployment_logs was not written: {answer.error or f'psql ended with {answer.code}'}",
            "The record is complete in /opt/<stack>/state/history; correct the cause before the next release",
        )


def _upsert(record: Record) -> str:
    values = ", ".join(_values(record))
    updates = ", ".join(f"{column} = EXCLUDED.{column}" for column in _COLUMNS[1:])
    return (
        f"INSERT INTO slipway.deployment_logs ({', '.join(_COLUMNS)}) VALUES ({values})\n"
        f"ON CONFLICT (id) DO UPDATE SET {updates};\n"
    )


def _values(record: Record) -> list[str]:
    text = [record.id, record.environment, record.stack, record.what, record.release]
    changed = ", ".join(map(_text, record.changed_services))
    return [
        *map(_text, text),
        _or_null(record.previous),
        _text(record.who),
        _text(record.machine),
        _text(record.begun),
        _or_null(record.ended),
        _or_null(record.revision),
        _text(record.outcome),
        _or_null(record.reason),
        f"ARRAY[{changed}]::text[]",
        # Escaped to ASCII: neither the client's encoding nor a NUL can spoil it.
        f"{_text(json.dumps(_without_nul(record.to_dict()), sort_keys=True))}::jsonb",
    ]


def _text(value: str) -> str:
    return sql.literal(value.replace("\x00", ""))


def _or_null(value: str) -> str:
    return _text(value) if value else "NULL"


def _without_nul(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value
