"""Proofs of backups as rows of `slipway.backup_verifications` in the database `postgres`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..postgresql import sql
from .backup_report import Verification

_TABLE = """SELECT pg_advisory_xact_lock(7310604131);
CREATE SCHEMA IF NOT EXISTS slipway;
CREATE TABLE IF NOT EXISTS slipway.backup_verifications (
    id text PRIMARY KEY,
    stack text NOT NULL,
    begun timestamptz NOT NULL,
    ended timestamptz NOT NULL,
    repository int NOT NULL,
    backup text NOT NULL,
    ok boolean NOT NULL,
    newest_transaction timestamptz,
    rpo_seconds double precision,
    rto_seconds double precision,
    bytes bigint NOT NULL,
    problems text[] NOT NULL,
    record jsonb NOT NULL
);
"""


def script(stack: str, proofs: Sequence[Verification]) -> str:
    """One transaction that makes the table where it is missing and adds the rows that it lacks."""
    rows = "".join(_insert(stack, proof) for proof in proofs)
    return f"BEGIN;\nSET statement_timeout = '10s';\nSET lock_timeout = '5s';\n{_TABLE}{rows}COMMIT;\n"


def _insert(stack: str, proof: Verification) -> str:
    problems = ", ".join(map(_text, proof.problems))
    values = [
        *map(_text, (proof.id, stack, proof.begun, proof.ended)),
        str(proof.repository),
        _text(proof.backup),
        "true" if proof.ok else "false",
        _text(proof.newest) if proof.newest else "NULL",
        "NULL" if proof.rpo is None else str(proof.rpo),
        "NULL" if proof.rto is None else str(proof.rto),
        str(proof.bytes),
        f"ARRAY[{problems}]::text[]",
        f"{_text(json.dumps(proof.to_dict(), sort_keys=True))}::jsonb",
    ]
    row = f"INSERT INTO slipway.backup_verifications VALUES ({', '.join(values)})"
    return f"{row} ON CONFLICT (id) DO NOTHING;\n"


def _text(value: str) -> str:
    return sql.literal(value.replace("\x00", ""))
