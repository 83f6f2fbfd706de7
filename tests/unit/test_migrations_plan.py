"""Which files run, in which order, and why a folder is refused."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_file import script
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrations import (
    Migration,
    Record,
    goal,
    level,
    plan,
    status,
)
from hypothesis import given
from hypothesis import strategies as some

LONG = "-- slipway: no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;"


def migration(number, up="SELECT 1;", down="SELECT 0;", name="part"):
    return Migration(number, name, up, down)


def record(item, state="applied", statement=0, **more):
    row = {"name": item.name, "checksum": item.checksum, "applied_at": "2026-01-01", "applied_by": "me@here"}
    return Record(
        **{"number": item.number, **row, "state": state, "statement": statement, "duration_ms": 1, **more}
    )


FOLDER = [migration(number) for number in (1, 2, 3)]


def steps(folder, ledger, target=3, allow_down=False):
    return [str(step) for step in plan(folder, ledger, target, allow_down)]


def test_what_is_missing_runs_in_order():
    assert steps(FOLDER, [record(FOLDER[0])]) == ["apply 000002_part.up.sql", "apply 000003_part.up.sql"]


def test_a_target_below_reverts_from_the_top_where_that_is_allowed():
    ledger = [record(item) for item in FOLDER]
    assert steps(FOLDER, ledger, 1, True) == ["revert 000003_part.down.sql", "revert 000002_part.down.sql"]
    with pytest.raises(SlipwayError, match="would revert 000003_part, 000002_part"):
        steps(FOLDER, ledger, 1)


@given(some.integers(0, 3), some.integers(0, 3))
def test_any_level_is_reached_from_any_other(done, target):
    ledger = [record(item) for item in FOLDER[:done]]
    run = plan(FOLDER, ledger, target, True)
    assert len(run) == abs(target - done)
    assert all(step.direction == ("up" if target > done else "down") for step in run)


@pytest.mark.parametrize(
    ("folder", "ledger", "told"),
    [
        pytest.param(
            [migration(1, "SELECT 2;")], [record(FOLDER[0])], "000001_part was edited after", id="edited"
        ),
        pytest.param([], [record(FOLDER[0])], "000001_part is applied and its file is missing", id="missing"),
        pytest.param(
            FOLDER, [record(FOLDER[0]), record(FOLDER[2])], "000002_part is new, but 000003", id="late"
        ),
        pytest.param(
            [migration(1, "SELECT 2;", name="mine")],
            [record(FOLDER[0])],
            "the folder has 000001_mine",
            id="rival",
        ),
        pytest.param([migration(1, "")], [], "000001_part.up.sql: holds no statement", id="empty"),
        pytest.param(
            [migration(1, "BEGIN; X")], [], "000001_part.up.sql:1: BEGIN ends or begins", id="unfit"
        ),
    ],
)
def test_a_folder_is_refused_with_its_reason(folder, ledger, told):
    with pytest.raises(SlipwayError, match=told):
        plan(folder, ledger, 3, False)


def test_every_file_is_read_before_the_first_is_run():
    with pytest.raises(SlipwayError, match="000003_part.up.sql:1: a text constant"):
        plan([*FOLDER[:2], migration(3, "'open")], [], 3, False)


class TestAFileLeftHalfWay:
    def test_is_repeated_where_it_says_so(self):
        again = migration(1, LONG.replace("transaction", "transaction repeatable"))
        assert steps([again], [record(migration(1), "applying", 1)]) == ["apply 000001_part.up.sql"]

    def test_is_told_precisely_where_it_does_not(self):
        item = migration(1, LONG)
        told = (
            r"by me@here, 1 statements are done, statement 2 of 2 \(line 3: VACUUM T …\) may be done in part"
        )
        with pytest.raises(SlipwayError, match=told):
            plan([item], [record(item, "applying", 1)], 1, False)

    def test_only_lacks_its_record_when_all_statements_are_done(self):
        item = migration(1, LONG)
        assert steps([item], [record(item, "applying", 2)]) == ["record 000001_part.up.sql"]

    def test_is_not_taken_for_done_when_it_was_edited_since(self):
        with pytest.raises(SlipwayError, match="did not reach its end"):
            plan([migration(1, LONG)], [record(migration(1, LONG + " "), "applying", 2)], 1, False)

    def test_goes_down_before_it_goes_up_again(self):
        item = migration(1, down="-- slipway: no-transaction, repeatable\nVACUUM;")
        expected = ["revert 000001_part.down.sql", "apply 000001_part.up.sql"]
        assert steps([item], [record(item, "reverting")]) == expected


def test_the_status_knows_what_is_done_and_what_is_not():
    rows = status(FOLDER[:2], [record(FOLDER[0])])
    assert [(row["number"], row["state"]) for row in rows] == [(1, "applied"), (2, "pending")]
    assert level([record(item) for item in FOLDER]) == 3


def test_a_target_is_a_number_of_the_folder():
    assert [goal("latest", FOLDER), goal("0", FOLDER), goal("2", FOLDER)] == [3, 0, 2]
    for wrong in ("4", "-1", "last", "²"):
        with pytest.raises(SlipwayError, match="the folder holds 1 to 3"):
            goal(wrong, FOLDER)


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "begin work", "END", "ROLLBACK AND CHAIN", "start transaction", "PREPARE TRANSACTION 'x'"],
)
def test_transactions_are_not_the_files_own(statement):
    assert "ends or begins a transaction" in str(script("f.sql", statement).problems[0])


@pytest.mark.parametrize(
    "statement",
    ["SET ROLE x", "set local role x", "RESET ROLE", "SET SESSION AUTHORIZATION x", "DISCARD ALL"],
)
def test_the_role_is_not_the_files_own(statement):
    assert "changes the session's role" in str(script("f.sql", statement).problems[0])


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
        "DROP INDEX concurrently i",
        "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
        "VACUUM (ANALYZE) t",
        "CREATE DATABASE d",
        "ALTER SYSTEM SET x = 1",
    ],
)
def test_what_needs_no_transaction_says_so_first(statement):
    problem = script("f.sql", f"SELECT 1;\n{statement};").problems[0]
    assert str(problem).startswith("f.sql:2: ") and "cannot run inside a transaction" in problem.problem
    assert "-- slipway: no-transaction" in problem.remedy
    assert script("f.sql", f"-- slipway: no-transaction\n{statement};").problems == ()


@pytest.mark.parametrize(
    "statement",
    [
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "ROLLBACK TO SAVEPOINT s",
        "SAVEPOINT s",
        "SET search_path = ''",
        "SET SESSION statement_timeout = 0",
        "COPY t FROM '/file'",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$",
        "COMMENT ON TABLE t IS 'VACUUM; COMMIT;'",
    ],
)
def test_ordinary_statements_are_not_suspected(statement):
    assert script("f.sql", statement).problems == ()


def test_directives_stand_in_the_opening_lines_and_are_known():
    read = script(
        "f.sql", "-- what it is for\n\n-- slipway: no-transaction, expand\nVACUUM;\n-- slipway: repeatable"
    )
    assert read.directives == {"no-transaction", "expand"}
    typo = script("f.sql", "-- slipway: no-transactions\nSELECT 1").problems[0]
    assert "Did you mean no-transaction" in typo.remedy


def test_data_from_a_client_is_refused():
    assert "COPY FROM STDIN" in str(script("f.sql", "COPY t (a) FROM STDIN;").problems[0])
