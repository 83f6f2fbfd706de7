"""SQL is split where PostgreSQL would split it, and quoted so that it reads back as it was."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import sql
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.sql import Fault
from hypothesis import given
from hypothesis import strategies as some


def texts(source):
    found = sql.statements(source)
    assert not isinstance(found, Fault), found
    return [statement.text for statement in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("-- only; words\n/* and; more */ ;;", [], id="comments-and-empty-statements"),
        pytest.param("A;B ;\nC", ["A", "B", "C"], id="the-last-needs-no-semicolon"),
        pytest.param("SELECT ';', E'\\';', \";\"; X", ["SELECT ';', E'\\';', \";\"", "X"], id="texts"),
        pytest.param("SELECT 'it''s;'; X", ["SELECT 'it''s;'", "X"], id="doubled-quote"),
        pytest.param("SELECT type'\\'; X", ["SELECT type'\\'", "X"], id="no-escape-after-a-word"),
        pytest.param("DO $$a;$x$b$$; X", ["DO $$a;$x$b$$", "X"], id="dollar-quotes"),
        pytest.param("SELECT a$1$; X", ["SELECT a$1$", "X"], id="dollars-in-a-name"),
        pytest.param("SELECT $1; X", ["SELECT $1", "X"], id="parameter"),
        pytest.param("/* a /* b; */ c; */ X; Y", ["X", "Y"], id="nested-comments"),
        pytest.param("CREATE RULE r DO (A; B); X", ["CREATE RULE r DO (A; B)", "X"], id="parentheses"),
        pytest.param(
            "CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 1; END; X",
            ["CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 1; END", "X"],
            id="atomic-body",
        ),
    ],
)
def test_statements_end_where_postgresql_ends_them(source, expected):
    assert texts(source) == expected


def test_a_statement_knows_its_line_and_its_words():
    found = sql.statements(
        "-- first\n\nCREATE INDEX /* not */ concurrently\n  i ON \"CREATE\" ('x');\nVACUUM"
    )
    assert [(item.line, item.words) for item in found] == [
        (3, ("CREATE", "INDEX", "CONCURRENTLY", "I", "ON")),
        (5, ("VACUUM",)),
    ]


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("A;\nSELECT 'open", 2, "a text constant is opened and never closed"),
        ('A;\n\nSELECT "open', 3, "a quoted name is opened and never closed"),
        ("DO $x$ body $y$", 1, "a dollar-quoted text is opened and never closed"),
        ("/* a /* b */", 1, "a comment is opened and never closed"),
        ("A;\n\\connect other", 2, "a backslash outside of a text: psql commands are not SQL"),
    ],
    ids=["text", "name", "dollar", "comment", "psql"],
)
def test_what_never_ends_is_a_fault_with_its_line(source, line, problem):
    assert sql.statements(source) == Fault(line, problem)


@given(some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_literal_and_a_name_are_one_token_whatever_they_hold(text):
    source = f"SELECT {sql.literal(text)}, {sql.name(text)}; X"
    assert texts(source) == [source[: -len("; X")], "X"]
