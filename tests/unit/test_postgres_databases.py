"""Which changes bring a server to the roles and databases that were declared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import scram
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.databases import (
    Change,
    Database,
    DatabaseFound,
    Role,
    RoleFound,
    changes,
    runs,
)

SALT = b"0123456789abcdef"
ROLE = Role("shop", "secret", True, 10, ("pg_monitor",), {"statement_timeout": "30s"})
ROLE_FOUND = RoleFound(
    True, scram.verifier("secret", SALT), 10, ("pg_monitor", "other"), {"statement_timeout": "30s"}
)
DATABASE = Database("shop", "shop", ("pg_trgm",), ("monitor",))
DATABASE_FOUND = DatabaseFound(
    "shop", False, False, frozenset({"pg_trgm", "plpgsql"}), frozenset({"monitor"})
)


def planned(role=ROLE, found=ROLE_FOUND, database=DATABASE, database_found=DATABASE_FOUND):
    roles_found = {"shop": found} if found else {}
    databases_found = {"shop": database_found} if database_found else {}
    return changes([role], [database], roles_found, databases_found, lambda: SALT)


def test_what_is_as_declared_is_left_alone():
    assert planned() == []


def test_a_role_comes_before_the_database_it_owns():
    steps = [str(step) for step in planned(found=None, database_found=None)]
    assert steps.index("create role shop") < steps.index("create database shop owned by shop")
    assert len(steps) == 9


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"login": False}, 'ALTER ROLE "shop" LOGIN;', id="login"),
        pytest.param({"connection_limit": -1}, 'ALTER ROLE "shop" CONNECTION LIMIT 10;', id="limit"),
        pytest.param({"member_of": ()}, 'GRANT "pg_monitor" TO "shop";', id="membership"),
        pytest.param({"settings": {}}, "ALTER ROLE \"shop\" SET statement_timeout = '30s';", id="setting"),
        pytest.param(
            {"settings": {"statement_timeout": "30s", "work_mem": "1MB"}},
            'ALTER ROLE "shop" RESET work_mem;',
            id="reset",
        ),
    ],
)
def test_each_difference_of_a_role_is_one_change(change, expected):
    assert [step.sql for step in planned(found=replace(ROLE_FOUND, **change))] == [expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {"owner": "x"},
            Change("give database shop from x to shop", 'ALTER DATABASE "shop" OWNER TO "shop";'),
        ),
        pytest.param(
            {"public": True},
            Change(
                "close database shop to everybody but its owner", 'REVOKE ALL ON DATABASE "shop" FROM PUBLIC;'
            ),
        ),
        pytest.param(
            {"connect": frozenset()},
            Change(
                "let role monitor connect to database shop", 'GRANT CONNECT ON DATABASE "shop" TO "monitor";'
            ),
        ),
        pytest.param(
            {"public_create": True},
            Change(
                "close schema public of shop to everybody but its owner",
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
                "shop",
            ),
        ),
        pytest.param(
            {"extensions": frozenset()},
            Change(
                "create extension pg_trgm in shop",
                'CREATE EXTENSION IF NOT EXISTS "pg_trgm" CASCADE;',
                "shop",
            ),
        ),
    ],
    ids=["owner", "public", "connect", "schema", "extension"],
)
def test_each_difference_of_a_database_is_one_change(change, expected):
    assert planned(database_found=replace(DATABASE_FOUND, **change)) == [expected]


def test_a_new_password_is_sent_as_its_verifier_and_told_without_it():
    (step,) = planned(role=replace(ROLE, password="new"))
    assert str(step) == "change password of role shop"
    assert step.sql == f"ALTER ROLE \"shop\" PASSWORD '{scram.verifier('new', SALT)}';"


def test_what_is_not_declared_of_a_role_is_left_alone():
    assert (
        planned(
            role=replace(ROLE, password=None, settings=None), found=replace(ROLE_FOUND, settings={"a": "b"})
        )
        == []
    )


def test_names_and_values_cannot_leave_their_quotes():
    sneaky = Role('x"; DROP ROLE y; --', None, True, -1, (), {"search_path": "a'; --\\"})
    create, setting = changes([sneaky], [], {}, {}, lambda: SALT)
    assert create.sql == 'CREATE ROLE "x""; DROP ROLE y; --" LOGIN;'
    assert setting.sql.endswith("SET search_path = E'a''; --\\\\';")
    with pytest.raises(SlipwayError, match="is no setting's name"):
        changes([replace(sneaky, settings={"a = 1; --": "b"})], [], {}, {}, lambda: SALT)


def test_neighbours_in_one_database_are_sent_together():
    steps = [Change("a", "A"), Change("b", "B"), Change("c", "C", "shop"), Change("d", "D")]
    assert [(name, [str(step) for step in group]) for name, group in runs(steps)] == [
        ("postgres", ["a", "b"]),
        ("shop", ["c"]),
        ("postgres", ["d"]),
    ]
