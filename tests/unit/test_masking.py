"""Which rules a copy may be made with, and which not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.masking import Column, applied
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.masking_sql import value
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError


def column(name: str, kind: str = "text", table: str = "people", **facts: Any) -> Column:
    given = {
        "schema": "public", "type": kind, "length": 0, "nullable": True, "unique": False, "generated": False,
        "whole": False, "references": (),
    }  # fmt: skip
    return Column(relation=table, name=name, kind=kind, **{**given, **facts})


def refused(columns: list[Column], **rules: str) -> str:
    with pytest.raises(SlipwayError) as error:
        applied(columns, {"people": rules} if rules else {})
    return str(error.value)


def test_a_rule_for_each_column_of_text_is_enough() -> None:
    columns = [column("name"), column("born", "plain"), column("id", "uuid"), column("tags", "list")]
    assert {
        str(it): rule for it, rule in applied(columns, {"people": {"name": "hash", "tags": "keep"}}).items()
    } == {
        "people.name": "hash",
        "people.tags": "keep",
    }


def test_public_may_be_written_out() -> None:
    assert applied([column("name")], {"public.people": {"name": "hash"}})


def test_what_is_made_of_other_columns_needs_no_rule_and_gets_none() -> None:
    assert applied([column("initial", generated=True)], {}) == {}
    assert "made of other columns" in refused([column("initial", generated=True)], initial="hash")


def test_what_the_platform_keeps_of_migrations_has_its_rules() -> None:
    columns = [column(name, table="slipway_migrations") for name in ("name", "checksum", "state", "kind")]
    columns.append(column("applied_by", table="slipway_migrations", nullable=False))
    assert applied(columns, {})[columns[-1]] == "empty"


def test_columns_without_a_rule_are_listed_to_be_pasted() -> None:
    columns = [
        column("name", nullable=False),
        column("note"),
        column("about", "json", nullable=False),
        column("seen", "other", table="visits", schema="web"),
    ]
    assert (
        "masking:\n  people:\n    name: hash  # text\n    note: empty  # text\n    about: empty  # json\n"
        "  web.visits:\n    seen: empty  # other." in refused(columns)
    )


NEEDED = {"nullable": False}


@pytest.mark.parametrize(
    ("one", "rule", "told"),
    [
        (column("born", "plain"), "hash", "it is plain, not text; write empty"),
        (column("born", "plain", **NEEDED), "empty", "must not be null, and has no empty value"),
        (column("code", unique=True, **NEEDED), "empty", "its values must differ"),
        (column("mail", length=30), "fake_email", "it takes 30 characters, and 41 are needed"),
        (column("code", length=8, unique=True), "hash", "it takes 8 characters, and 16 are needed"),
        (column("about", "json"), "fake_name", "it is json, not text; write empty"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_rule_that_cannot_be_kept_is_refused(one: Column, rule: str, told: str) -> None:
    assert told in refused([one], **{one.name: rule})


def test_a_column_that_is_not_there_is_refused() -> None:
    told = refused([column("name")], nme="hash", name="hash")
    assert "masking/people/nme is no column. Did you mean name?" in told


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(SlipwayError, match=r"masking/peple is no table\. Did you mean people"):
        applied([column("born", "plain")], {"peple": {"born": "empty"}})


@pytest.mark.parametrize(
    ("of_child", "of_parent", "fits"),
    [("hash", "hash", True), ("keep", "hash", False), ("hash", "keep", False), ("empty", "hash", True)],
)
def test_columns_that_refer_to_one_another_are_masked_alike(
    of_child: str, of_parent: str, fits: bool
) -> None:
    child = column("login", table="orders", references=(("people", "login"),))
    columns, rules = [column("login"), child], {"people": {"login": of_parent}, "orders": {"login": of_child}}
    if fits:
        assert applied(columns, rules)
        return
    with pytest.raises(SlipwayError, match="they must be masked alike"):
        applied(columns, rules)


def test_an_id_that_is_masked_takes_those_that_refer_to_it_along() -> None:
    child = column("person", "uuid", table="orders", references=(("people", "id"),))
    with pytest.raises(SlipwayError, match=r"orders/person is without a rule, and people\.id"):
        applied([column("id", "uuid"), child], {"people": {"id": "hash"}})


def test_a_short_column_gets_a_short_hash() -> None:
    assert "'hex'), 8))::character(8)" in value(column("code", length=8, type="character(8)"), "hash", "salt")
    assert "'hex'), 32))::uuid" in value(column("id", "uuid", type="uuid"), "hash", "salt")


def test_names_that_must_differ_have_more_to_differ_in() -> None:
    assert ", 8))::text" in value(column("name"), "fake_name", "salt")
    assert ", 16))::text" in value(column("name", unique=True), "fake_name", "salt")
