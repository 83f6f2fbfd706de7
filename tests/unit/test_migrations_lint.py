"""What squawk finds in a migration, and what that means for a release. The real squawk is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_file import (
    kind,
    script,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_lint import findings
from ansible_collections.slipway.compose.plugins.plugin_utils import migration_files
from whole_stack import service

API = replace(service("api", "/api/", "http", 20000, ()), migrations="db")
NOT_IN_AN_EXPAND = [
    "DROP TABLE a",
    "ALTER TABLE a DROP COLUMN b",
    "ALTER TABLE a RENAME TO b",
    "ALTER TABLE a RENAME COLUMN b TO c",
    "ALTER TABLE a ALTER COLUMN b TYPE bigint",
    "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
    "ALTER TABLE a ADD COLUMN b text NOT NULL",
    "ALTER TABLE a ALTER COLUMN b DROP DEFAULT",
    "ALTER TABLE a SET SCHEMA s",
    "ALTER TYPE a RENAME VALUE 'b' TO 'c'",
    "DROP TYPE a",
    "DROP SCHEMA a",
    "DROP SEQUENCE a",
    "DROP EXTENSION a",
    "TRUNCATE a CASCADE",
]
ONLY_WITH_A_SUBSTITUTE = {
    "DROP VIEW a": "ban-drop-view",
    "DROP FUNCTION a()": "ban-drop-function",
    "DROP TRIGGER a ON b": "ban-drop-trigger",
    "ALTER TABLE a DROP CONSTRAINT b": "ban-drop-constraint",
    "ALTER TABLE a ALTER COLUMN b DROP NOT NULL": "ban-drop-not-null",
    "REVOKE SELECT ON a FROM b": "ban-revoke",
}
BLOCKING = {
    "CREATE INDEX a ON b (c)": "require-concurrent-index-creation",
    "DROP INDEX a": "require-concurrent-index-deletion",
    "REINDEX TABLE a": "require-concurrent-reindex",
    "ALTER TABLE a ADD CONSTRAINT b CHECK (c > 0)": "constraint-missing-not-valid",
    "ALTER TABLE a ADD COLUMN b uuid REFERENCES c (d)": "adding-foreign-key-constraint",
    "ALTER TABLE a ADD COLUMN b text UNIQUE": "disallowed-unique-constraint",
    "ALTER TABLE a ADD COLUMN b timestamptz DEFAULT clock_timestamp()": "adding-field-with-default",
    "ALTER TABLE a DETACH PARTITION b": "require-concurrent-partition-detach",
}
HARMLESS = [
    "CREATE TABLE a (b int NOT NULL UNIQUE REFERENCES c (d), e varchar(9), f timestamp, g serial);\n"
    "CREATE INDEX h ON a (b); ALTER TABLE a ADD CONSTRAINT i CHECK (b > 0)",
    "ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 1",
    "ALTER TABLE a ADD CONSTRAINT b CHECK (c > 0) NOT VALID",
    "ALTER TABLE a ADD CONSTRAINT b FOREIGN KEY (c) REFERENCES d (e) NOT VALID",
    "ALTER TABLE a VALIDATE CONSTRAINT b",
    "-- slipway: no-transaction\nCREATE INDEX CONCURRENTLY a ON b (c)",
    "CREATE OR REPLACE FUNCTION a() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$",
    "UPDATE a SET b = 1",
]


@pytest.fixture
def judge(tmp_path):
    """What stands in the way of one file, a line each."""
    (tmp_path / "db").mkdir()

    def judge(text, name="000002_x.up.sql"):
        (tmp_path / "db" / name).write_text(text)
        return migration_files.faults(API, tmp_path, [name])

    return judge


@pytest.mark.parametrize("statement", NOT_IN_AN_EXPAND)
def test_what_breaks_the_release_that_serves_is_not_in_an_expand(judge, statement):
    (problem,) = judge(f"SELECT 1;\n{statement};")
    assert problem.startswith("db/000002_x.up.sql:2: ")
    assert "say `-- slipway: contract`" in problem


@pytest.mark.parametrize("statement", NOT_IN_AN_EXPAND)
def test_no_allowance_makes_it_an_expand(judge, statement):
    rules = ("changing-column-type", "adding-not-nullable-field")
    assert judge(f"-- slipway: allow {' '.join(rules)}\n-- squawk-ignore-file\n{statement};")


@pytest.mark.parametrize("statement", [*NOT_IN_AN_EXPAND, *ONLY_WITH_A_SUBSTITUTE])
def test_it_is_in_a_contract(judge, statement):
    slow = ("ALTER COLUMN b TYPE", "SET NOT NULL")
    found = judge(f"-- slipway: contract\n{statement};")
    assert bool(found) == any(words in statement for words in slow)


@pytest.mark.parametrize(("statement", "rule"), {**BLOCKING, **ONLY_WITH_A_SUBSTITUTE}.items())
def test_what_the_author_must_answer_for_is_allowed_by_name(judge, statement, rule):
    found = judge(f"{statement};")
    assert any(f"({rule})" in problem and f"-- slipway: allow {rule}" in problem for problem in found), found
    assert judge(f"-- slipway: expand, allow {rule}\n{statement};") == []


@pytest.mark.parametrize("statement", BLOCKING)
def test_what_blocks_blocks_in_a_contract_too(judge, statement):
    assert judge(f"-- slipway: contract\n{statement};")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_well_made_is_let_through(judge, text):
    assert judge(f"{text};") == []


def test_all_files_are_judged_at_once_with_their_lines(judge, tmp_path):
    judge("SELECT 1;\n\nDROP TABLE a;\nDROP TABLE b;", "000002_a.up.sql")
    judge("-- why\nCREATE INDEX i ON t (c);", "000003_b.up.sql")
    found = migration_files.faults(API, tmp_path, ["000002_a.up.sql", "000003_b.up.sql"])
    places = [problem.split(": ")[0] for problem in found]
    assert places == ["db/000002_a.up.sql:3", "db/000002_a.up.sql:4", "db/000003_b.up.sql:2"]
    assert "table updates are blocked" in found[2] and "Where the table is small" in found[2]


def test_sql_that_squawk_cannot_read_is_not_waved_through(judge):
    (problem, *_) = judge("SELECT 1;\nALTER TABLE a ALTER b SET SOMETHING ELSE;")
    assert problem.startswith("db/000002_x.up.sql:2: ") and "(syntax-error)" in problem
    assert judge("-- slipway: allow syntax-error\nALTER TABLE a ALTER b SET SOMETHING ELSE;") == []


def test_squawks_own_way_to_look_away_is_not_followed(judge):
    assert judge("-- squawk-ignore ban-drop-table\nDROP TABLE a;")
    assert judge("-- squawk-ignore-file\nDROP TABLE a;")


def test_a_squawk_that_does_not_answer_is_a_failure_and_no_verdict():
    with pytest.raises(SlipwayError, match="did not judge a migration: unknown option"):
        findings(lambda argv, stdin=None: (2, "", "unknown option\n"), "squawk", "SELECT 1;", True)


def test_a_control_node_without_squawk_is_told_how_to_get_it(judge, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(SlipwayError, match="scripts/setup"):
        judge("SELECT 1;")


class TestTheOpeningLines:
    def test_say_what_a_file_is_and_what_it_may_do(self):
        read = script("f.sql", "-- slipway: contract, allow ban-drop-view changing-column-type\nSELECT 1;")
        assert read.kind == "contract" and not read.problems
        assert read.allowed == {"ban-drop-view", "changing-column-type"}
        assert [kind("SELECT 1;\n-- slipway: contract"), kind("-- slipway: contract")] == [
            "expand",
            "contract",
        ]

    def test_allow_nothing_that_is_no_rule_or_breaks(self):
        typo = script("f.sql", "-- slipway: allow ban-drop-views\nSELECT 1;").problems[0]
        assert "Did you mean ban-drop-view" in typo.remedy
        assert script("f.sql", "-- slipway: allow ban-drop-table\nSELECT 1;").problems

    def test_do_not_say_two_things(self):
        assert "both" in str(script("f.sql", "-- slipway: expand contract\nSELECT 1;").problems[0])
