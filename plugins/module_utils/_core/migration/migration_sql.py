"""What is sent to psql to read the ledger and to run one migration file.

A file's statements travel as dollar-quoted texts that psql hands on unread (`\\gexec`), so that nothing in a
file is taken for a psql variable or command. Lines that start with `slipway:` on standard output say how far
the session came.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..errors import SlipwayError
from ..postgresql import sql
from .migration_file import CONTRACT, EXPAND
from .migrations import APPLIED, APPLYING, REVERTING, Record, Step

LEDGER = "public.slipway_migrations"
# Two halves of one advisory lock, which PostgreSQL keeps per database: "SLIP", and the first use of it.
LOCK = (0x534C4950, 1)

_KIND = f"kind text CHECK (kind IN ('{EXPAND}', '{CONTRACT}'))"
_CREATE = f"""CREATE TABLE IF NOT EXISTS {LEDGER} (
    number bigint PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    state text NOT NULL CHECK (state IN ('{APPLIED}', '{APPLYING}', '{REVERTING}')),
    statement integer NOT NULL DEFAULT 0,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms bigint NOT NULL DEFAULT 0,
    applied_by text NOT NULL,
    {_KIND}
);
"""
# A ledger of an earlier version has no kind. ALTER TABLE takes its lock even where IF NOT EXISTS finds the
# column, and would wait for a dump.
_EXTEND = rf"""SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{LEDGER}'::regclass
    AND attname = 'kind' AND NOT attisdropped) AS earlier \gset
\if :earlier
ALTER TABLE {LEDGER} ADD COLUMN {_KIND};
\endif
"""
_SHOW = f"""SELECT 'slipway:ledger ' || coalesce(jsonb_agg(to_jsonb(l) ORDER BY number), '[]')::text
FROM {LEDGER} l;
"""
_FINGERPRINT = (
    "coalesce((SELECT string_agg(concat_ws(':', number, checksum, state, statement), ',' ORDER BY number) "
    f"FROM {LEDGER}), '')"
)
# Asked as a superuser, whom every member lets in, of what is its owner's. COPY runs nothing of that owner's,
# no view, no policy, no cast: it refuses what is no table, and writes each value as its type does.
READ = rf"""SELECT to_regclass('{LEDGER}') IS NOT NULL AS kept, EXISTS (SELECT FROM pg_class
    WHERE oid = to_regclass('{LEDGER}') AND relkind <> 'r') AS other \gset
\if :other
\echo slipway:replaced
\elif :kept
SET DateStyle = 'ISO';
SET TimeZone = 'UTC';
COPY {LEDGER} TO STDOUT (FORMAT csv, HEADER);
\endif
"""
HOLDER = """SELECT coalesce(json_agg(json_build_object('pid', pid, 'application', application_name,
    'seconds', extract(epoch FROM clock_timestamp() - coalesce({since}, backend_start))::int, 'state', state)
    ORDER BY {since}), '[]') FROM pg_stat_activity WHERE {which};
"""
_LOCK_OWNERS = (
    "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
    f"AND classid = {LOCK[0]} AND objid = {LOCK[1]} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
LOCK_HOLDER = HOLDER.format(since="backend_start", which=_LOCK_OWNERS)
OPEN_TRANSACTIONS = HOLDER.format(
    since="xact_start",
    which="datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
)


def restore_point(name: str) -> str:
    """Sets a named point in the WAL that a restore can stop at; answers with its position."""
    return f"SELECT pg_create_restore_point({sql.literal(name)});"


@dataclass(frozen=True)
class Session:
    """How every file is run: logged in as whom, and how long a statement may wait for a lock, and take."""

    owner: str
    lock_timeout: str
    statement_timeout: str
    applied_by: str


@dataclass(frozen=True)
class Progress:
    """How far a session came, read from its output."""

    ledger: tuple[Record, ...] | None
    busy: bool
    moved: bool
    statement: int
    done: bool


def run_file(step: Step, session: Session, ledger: Sequence[Record]) -> str:
    """One session: take the lock, see that the ledger is as planned from, run the file, record it."""
    body = _ended(step) if step.finished else _body(step, session)
    return f"{_opening(session, ledger)}{body}\\echo slipway:done\n{_SHOW}"


def progress(out: str) -> Progress:
    ledger: tuple[Record, ...] | None = None
    statement, marks = 0, set()
    for line in out.splitlines():
        mark, _, rest = line.partition(" ")
        marks.add(mark)
        if mark == "slipway:ledger":
            ledger = tuple(Record.from_row(row) for row in json.loads(rest))
        elif mark == "slipway:statement":
            statement = int(rest)
    return Progress(
        ledger, "slipway:busy" in marks, "slipway:moved" in marks, statement, "slipway:done" in marks
    )


def records(out: str) -> list[Record]:
    """The ledger, from the output of READ."""
    if out == "slipway:replaced":
        raise _spoilt("is no table")
    try:
        rows = [_record(row) for row in csv.DictReader(io.StringIO(out, newline=""))]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise _spoilt(f"is not as it was made ({error})") from error
    return sorted(rows, key=lambda row: row.number)


def _spoilt(how: str) -> SlipwayError:
    return SlipwayError(
        f"{LEDGER} {how}; only the database's owner can have changed it",
        "Find out why, and put it right: docs/runbooks/migrations.md",
    )


def _record(row: dict[str, str]) -> Record:
    numbers = {name: int(row[name]) for name in ("number", "statement", "duration_ms")}
    applied_at = datetime.fromisoformat(row["applied_at"]).isoformat()
    return Record.from_row({**row, **numbers, "applied_at": applied_at, "kind": row.get("kind") or None})


def fingerprint(ledger: Sequence[Record]) -> str:
    """The same text that the server makes of its ledger."""
    return ",".join(f"{row.number}:{row.checksum}:{row.state}:{row.statement}" for row in ledger)


def _opening(session: Session, ledger: Sequence[Record]) -> str:
    # What is set for the role is meant for its services: no object shall be another's, no file end early.
    return rf"""SET application_name = 'slipway migrate';
SET idle_in_transaction_session_timeout = '60s';
SELECT pg_try_advisory_lock({LOCK[0]}, {LOCK[1]}) AS locked \gset
\if :locked
\else
\echo slipway:busy
\quit
\endif
SET ROLE NONE;
SET transaction_timeout = 0;
SET lock_timeout = {sql.literal(session.lock_timeout)};
SET statement_timeout = {sql.literal(session.statement_timeout)};
{_CREATE}{_EXTEND}SELECT {_FINGERPRINT} = {sql.literal(fingerprint(ledger))} AS planned \gset
\if :planned
\else
\echo slipway:moved
\quit
\endif
"""


def _body(step: Step, session: Session) -> str:
    script = step.migration.script(step.direction)
    if script.transactional:
        statements = "".join(_sent(number, item) for number, item in enumerate(script.statements, 1))
        return f"BEGIN;\n{_begun(step, session)}{statements}{_ended(step)}COMMIT;\n"
    sent = (
        f"{_sent(number, item)}UPDATE {LEDGER} SET statement = {number} WHERE {_row(step)};\n"
        for number, item in enumerate(script.statements, 1)
    )
    return _begun(step, session) + "".join(sent) + _ended(step)


def _sent(number: int, statement: sql.Statement) -> str:
    tag = f"$slipway_{hashlib.sha256(statement.text.encode()).hexdigest()[:16]}$"
    return (
        f"\\echo slipway:statement {number}\n\\o /dev/null\nSELECT {tag}{statement.text}{tag} \\gexec\n\\o\n"
    )


def _begun(step: Step, session: Session) -> str:
    """The row that says, while the file runs and if it never ends, what was begun."""
    migration = step.migration
    state = APPLYING if step.direction == "up" else REVERTING
    values = ", ".join(
        sql.literal(text)
        for text in (migration.name, migration.checksum, state, session.applied_by, migration.kind)
    )
    return f"""INSERT INTO {LEDGER} (number, name, checksum, state, applied_by, kind)
VALUES ({migration.number}, {values})
ON CONFLICT (number) DO UPDATE SET name = excluded.name, checksum = excluded.checksum, state = excluded.state,
    applied_by = excluded.applied_by, kind = excluded.kind, statement = 0, applied_at = clock_timestamp();
"""


def _ended(step: Step) -> str:
    if step.direction == "down":
        return f"DELETE FROM {LEDGER} WHERE {_row(step)};\n"
    return f"""UPDATE {LEDGER} SET state = '{APPLIED}', statement = 0,
    duration_ms = extract(epoch FROM clock_timestamp() - applied_at) * 1000, applied_at = clock_timestamp()
WHERE {_row(step)};
"""


def _row(step: Step) -> str:
    return f"number = {step.migration.number}"
