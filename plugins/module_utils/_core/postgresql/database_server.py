"""Reads a server's roles and databases, and carries changes to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ..errors import SlipwayError
from .databases import Change, DatabaseFound, RoleFound, runs
from .postgres import Psql

# CREATE DATABASE waits for a checkpoint.
SLOW = 300

_ROLES = """SELECT coalesce(json_object_agg(rolname, json_build_object(
    'login', rolcanlogin, 'password', rolpassword, 'connection_limit', rolconnlimit,
    'member_of', ARRAY(SELECT g.rolname FROM pg_auth_members m
        JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = a.oid),
    'settings', coalesce((SELECT setconfig FROM pg_db_role_setting
        WHERE setrole = a.oid AND setdatabase = 0), '{}'))), '{}')
FROM pg_authid a WHERE rolname !~ '^pg_';
"""
_DATABASES = """SELECT coalesce(json_object_agg(datname, json_build_object('owner', pg_get_userbyid(datdba),
    'public', EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0),
    'connect', ARRAY(SELECT pg_get_userbyid(grantee) FROM aclexplode(datacl)
        WHERE grantee <> 0 AND privilege_type = 'CONNECT'))), '{}')
FROM pg_database WHERE datallowconn;
"""
_INSIDE = """SELECT json_build_object(
    'public_create', EXISTS (SELECT FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
        WHERE nspname = 'public' AND grantee = 0 AND privilege_type = 'CREATE'),
    'extensions', ARRAY(SELECT extname FROM pg_extension));
"""
# A verifier is no password, but it has no business in a log either.
_SILENT = """SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET pg_stat_statements.track_utility = off;
SET application_name = 'slipway database';
SET lock_timeout = '10s';
"""


def roles(psql: Psql) -> dict[str, RoleFound]:
    return {
        name: RoleFound(
            row["login"],
            row["password"],
            row["connection_limit"],
            tuple(row["member_of"]),
            dict(setting.split("=", 1) for setting in row["settings"]),
        )
        for name, row in json.loads(psql.ask(_ROLES)).items()
    }


def databases(psql: Psql, declared: Iterable[str]) -> dict[str, DatabaseFound]:
    """What is known of the declared databases that exist; each is looked into."""
    existing = json.loads(psql.ask(_DATABASES))
    found = {}
    for name in declared:
        if name in existing:
            inside = json.loads(psql.on(name).ask(_INSIDE))
            found[name] = DatabaseFound(
                existing[name]["owner"],
                existing[name]["public"],
                inside["public_create"],
                frozenset(inside["extensions"]),
                frozenset(existing[name]["connect"]),
            )
    return found


def apply(psql: Psql, steps: Sequence[Change]) -> None:
    for database, neighbours in runs(steps):
        marked = "".join(f"\\echo {number}\n{step.sql}\n" for number, step in enumerate(neighbours))
        answer = psql.on(database).send(_SILENT + marked, SLOW)
        if not answer.ok:
            came = answer.out.split()
            step = neighbours[int(came[-1])] if came else neighbours[0]
            told = answer.error.splitlines()[0] if answer.error else f"psql ended with {answer.code}"
            raise SlipwayError(
                f"cannot {step}: {told} {answer.state}".rstrip(),
                "Correct the declaration (or the server's state) and run again; what was done before stays",
            )
