"""What is remarkable inside PostgreSQL, and how a report reads."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import (
    postgres_report,
    postgres_report_sql,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql

TABLE = {"name": "public.bookings", "live": 100_000, "dead": 0, "changed": 0, "vacuumed": None}
TABLE |= {"analyzed": None, "bytes": 400 << 20, "wasted": 0}


def role(name="shop", **more):
    rights = {"super": False, "login": True, "replication": False, "bypass_rls": False}
    return {"name": name, **rights, "connections": -1, "valid_until": None, "member_of": [], **more}


def server(**more):
    usual = {"name": "shop", "bytes": 5 << 20, "age": 1000, "multixact_age": 5}
    whole = {"version": "17.6", "autovacuum": "on", "freeze_max": 200_000_000, "pending": [], "holders": []}
    whole |= {"multixact_freeze_max": 400_000_000, "roles": [role()]}
    return {**whole, "databases": [{**usual, **more.pop("database", {})}], **more}


def inside(*tables, extensions=()):
    return {"shop": {"extensions": list(extensions), "tables": list(tables)}}


def extension(version, available="1.12"):
    return {"name": "pg_stat_statements", "version": version, "available": available}


def test_a_server_that_fares_well_has_nothing_to_remark(now):
    tables = inside(TABLE, extensions=[extension("1.12")])
    assert postgres_report.judge(server(), tables, now) == []
    told = postgres_report.lines(server(), tables, [])
    assert told == [
        "PostgreSQL 17.6",
        "database shop: 5 MB, 0.0 % of the way to wraparound",
        "  extensions: pg_stat_statements 1.12",
        "role shop: logs in",
        "nothing to remark",
    ]


@pytest.mark.parametrize(
    ("found", "tables", "status", "problem"),
    [
        pytest.param(
            server(database={"age": 450_000_000}), inside(), "warn", "450,000,000 transactions", id="age"
        ),
        pytest.param(server(database={"age": 1_200_000_000}), inside(), "fail", "1,200,000,000", id="near"),
        pytest.param(
            server(database={"multixact_age": 900_000_000}),
            inside(),
            "warn",
            "900,000,000 multixacts",
            id="multi",
        ),
        pytest.param(
            server(holders=[{"what": "replication slot old", "age": 2_000_000}]),
            inside(),
            "warn",
            "keeps vacuum from removing what 2,000,000",
            id="held-back",
        ),
        pytest.param(server(autovacuum="off"), inside(), "fail", "is off", id="autovacuum-off"),
        pytest.param(
            server(pending=["max_connections"]), inside(), "warn", "max_connections wait", id="pending"
        ),
        pytest.param(server(roles=[role(super=True)]), inside(), "warn", "is a superuser", id="superuser"),
        pytest.param(
            server(roles=[role(valid_until="2026-01-01T00:00:00+00:00")]),
            inside(),
            "warn",
            "expired",
            id="expired",
        ),
        pytest.param(
            server(), inside(extensions=[extension("1.10")]), "warn", "the server has 1.12", id="extension"
        ),
        pytest.param(
            server(), inside({**TABLE, "dead": 30_000}), "warn", "30,000 of 130,000 rows are dead", id="dead"
        ),
        pytest.param(
            server(), inside({**TABLE, "changed": 30_000}), "warn", "30,000 rows changed", id="statistics"
        ),
        pytest.param(
            server(), inside({**TABLE, "wasted": 300 << 20}), "warn", "about 300 MB of 400 MB", id="bloat"
        ),
    ],
)
def test_what_needs_an_operator_is_remarked_once_with_a_remedy(found, tables, status, problem, now):
    (remark,) = postgres_report.judge(found, tables, now)
    assert (remark.status, bool(remark.remedy)) == (status, True)
    assert problem in remark.problem
    assert postgres_report.lines(found, tables, [remark])[-1].startswith(status.upper())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"dead": 9000, "live": 100}, id="few-dead-rows"),
        pytest.param({"dead": 15_000}, id="a-small-share-of-dead-rows"),
        pytest.param({"bytes": 100 << 20, "wasted": 90 << 20}, id="little-waste"),
    ],
)
def test_what_weighs_little_is_not_spoken_of(change, now):
    assert postgres_report.judge(server(), inside({**TABLE, **change}), now) == []


def test_postgres_itself_may_be_a_superuser_and_what_is_grave_comes_first(now):
    found = server(roles=[role("postgres", super=True)], pending=["wal_level"], autovacuum="off")
    assert [remark.status for remark in postgres_report.judge(found, inside(), now)] == ["fail", "warn"]


def test_each_database_is_asked():
    asked = []

    def run(argv, stdin=None):
        asked.append(argv[-1])
        answer = server() if "pg_roles" in stdin else inside()["shop"]
        return 0, json.dumps(answer), ""

    _server, told = postgres_report_sql.ask(Psql(run, "shop-postgres-1"))
    assert asked == ["postgres", "shop"]
    assert told == inside()
