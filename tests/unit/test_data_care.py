"""What a stack says of its data, and what hosts get of it; retention's figures; SQL of a person's data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care import masking_schema
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.retention_work import (
    Outcome,
    Rule,
    metrics,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.subject import judged
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import inspect_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_data import (
    Data,
    DatabaseCare,
    Retention,
)
from whole_stack import rendered, stack

DAY = 86_400
HOSTS = [Host(f"h{index}.test", f"10.0.0.{index}") for index in (1, 2, 3)]


def definition(**data: object) -> dict[str, Any]:
    web = {"image": "example.com/web:1", "port": 8080, "health_path": "/", "database": "shop"}
    return {"name": "shop", "domain": "shop.test", "services": {"web": web}, "data": data}


def test_a_stack_that_says_nothing_keeps_everything_and_masks_nothing() -> None:
    found = inspect_stack({key: it for key, it in definition().items() if key != "data"}, HOSTS)
    assert (found.problems, found.stack.data) == ((), Data())


def test_what_is_declared_is_read() -> None:
    care = {
        "masking": {"people": {"name": "fake_name"}, "web.visits": {"page": "public"}},
        "retention": [
            {"table": "web.visits", "column": "at", "keep": "30d"},
            {"table": "people", "column": "left"},
        ],
        "subject": {"export": "export.sql"},
    }
    found = inspect_stack(definition(protected=False, databases={"shop": care}), HOSTS)
    assert not found.problems
    shop = found.stack.data.databases["shop"]
    assert [it.keep for it in shop.retention] == [30 * DAY, 365 * DAY]
    assert (shop.subject.export, shop.subject.erase, found.stack.data.protected) == (
        "export.sql",
        None,
        False,
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            {"databases": {"shopp": {}}},
            "stack/data/databases/shopp: is no database of a service. Did you mean shop?",
        ),
        (
            {"databases": {"shop": {"masking": {"people": {"name": "hashed"}}}}},
            'is "hashed", not one of hash',
        ),
        ({"databases": {"shop": {"masking": {"people": {"name": None}}}}}, "is empty, not one of hash"),
        (
            {"databases": {"shop": {"retention": [{"table": "a", "column": "at", "keep": "12h"}]}}},
            'keep: is "12h", out of range',
        ),
        (
            {"databases": {"shop": {"retention": [{"table": "a", "column": "at"}] * 2}}},
            "retention/1: a.at has a rule already",
        ),
        (
            {"databases": {"shop": {"retention": [{"table": "a; DROP TABLE b", "column": "at"}]}}},
            "not a table's name",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(data: dict[str, object], told: str) -> None:
    assert told in "\n".join(map(str, inspect_stack(definition(**data), HOSTS).problems))


def test_hosts_of_postgresql_get_a_timer_where_anything_is_deleted() -> None:
    variables = {host.name: {"slipway_address": host.address} for host in HOSTS}
    names = list(variables)
    kept = {"shop": {"retention": [{"table": "a", "column": "at"}]}}
    asked = definition(retention_at="01:10", databases=kept)
    assert "01:10" in host_stack(asked, names[0], names, variables)["retention"]
    for other in (definition(), {**asked, "components": {"postgres": {"hosts": names[1:]}}}):
        assert "retention" not in host_stack(other, names[0], names, variables)


def test_a_release_tells_the_hosts_what_to_delete_and_the_monitoring_what_to_expect() -> None:
    care = DatabaseCare(retention=(Retention("visits", "at", 30 * DAY),))
    base = stack()
    files = rendered(replace(base, data=Data(databases={"wayfare": care})), "h3.test")
    assert json.loads(files["config/host/retention/settings.json"]) == [
        {"database": "wayfare", "table": "visits", "column": "at", "keep": 30 * DAY}
    ]
    assert "RetentionOverdue" in files["config/prometheus/rules/data.yml"]
    bare = rendered(base, "h3.test")
    assert not {"config/host/retention/settings.json", "config/prometheus/rules/data.yml"} & set(bare)


def test_a_rule_that_failed_keeps_the_time_of_its_last_success() -> None:
    orders, visits = Rule("shop", "orders", "at", DAY), Rule("shop", "visits", "at", DAY)
    first = dict(line.rsplit(" ", 1) for line in metrics([Outcome(orders, 5), Outcome(visits, 2)], {}, 100.0))
    second = list(metrics([Outcome(orders, 3), Outcome(visits, 0, "no such table")], first, 200.0))
    of = '{database="shop",table="%s"}'
    assert second == [
        f"slipway_retention_rows_total{of % 'orders'} 8",
        f"slipway_retention_ok{of % 'orders'} 1",
        f"slipway_retention_success_seconds{of % 'orders'} 200",
        f"slipway_retention_rows_total{of % 'visits'} 2",
        f"slipway_retention_ok{of % 'visits'} 0",
        f"slipway_retention_success_seconds{of % 'visits'} 100",
    ]


def test_what_goes_along_is_declared_told_and_counted() -> None:
    rule = {"table": "threads", "column": "at", "keep": "30d", "cascades": ["posts"]}
    found = inspect_stack(definition(databases={"shop": {"retention": [rule]}}), HOSTS)
    assert found.stack.data.databases["shop"].retention[0].cascades == ("posts",)
    own = Rule("shop", "threads", "at", 30 * DAY, ["posts"])
    outcome = Outcome(own, 2, along={"posts": 5})
    assert outcome.told("rows deleted") == "shop: threads: 2 rows deleted, and with them 5 of posts"
    assert 'slipway_retention_cascaded_rows_total{database="shop",table="threads"} 5' in metrics(
        [outcome], {}, 1.0
    )


def test_a_rule_without_cascades_is_told_to_a_host_as_ever() -> None:
    assert "cascades" not in Rule("shop", "threads", "at", DAY).to_dict()


@pytest.mark.parametrize("name", ["shop_clone", "shop_before_clone"])
def test_names_that_copies_make_are_no_databases(name: str) -> None:
    asked = definition()
    asked["services"]["web"]["database"] = name
    told = "\n".join(map(str, inspect_stack(asked, HOSTS).problems))
    assert f"stack/services/web/database: {name} ends in _clone" in told
    assert "Choose another name" in told


def test_copies_of_two_databases_have_names_of_their_own() -> None:
    asked = definition()
    web = asked["services"]["web"]
    web["database"], long = "a" * 50, {**web, "database": "a" * 48 + "b"}
    asked["services"]["api"] = long
    assert "begin with the same 48 letters" in "\n".join(map(str, inspect_stack(asked, HOSTS).problems))


DUMP = """SELECT pg_catalog.set_config('search_path', 'of nobody', false);

--
-- Name: kind; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.kind AS ENUM (
    'Ada''s',
    'other'
);

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS $_$
-- for Ada
BEGIN RETURN E'it\\'s' || "Column"; END $_$;
"""


def test_texts_of_a_schema_are_its_constants_and_what_bodies_say() -> None:
    assert [(owner, text.strip()) for owner, text in masking_schema.texts(DUMP)] == [
        ("type kind", "Ada's"),
        ("type kind", "other"),
        ("function f()", "-- for Ada"),
        ("function f()", "it\\'s"),
    ]


NAMED = "current_setting('slipway.subject')"


@pytest.mark.parametrize(
    ("text", "what", "told"),
    [
        ("SELECT 1; SELECT 2", "export", "has 2 statements, and an export is one query"),
        (f"DELETE FROM a WHERE b = {NAMED}", "export", "DELETE is no query"),
        ("SELECT 1", "export", "asks for nobody"),
        (f"DELETE FROM a WHERE b = {NAMED}; COMMIT", "erase", "COMMIT would end the transaction"),
        ("-- nothing", "erase", "has no statement"),
        ("DELETE FROM a WHERE b = 'x", "erase", "opened and never closed"),
        (f"\\! rm -rf /\n{NAMED}", "erase", "a backslash outside of a text"),
    ],
)
def test_sql_that_could_not_be_what_it_says_is_refused(text: str, what: str, told: str) -> None:
    with pytest.raises(SlipwayError, match="shop.sql") as error:
        judged("shop.sql", text, what)
    assert told in str(error.value)


def test_sql_of_the_reference_application_is_accepted() -> None:
    folder = Path(__file__).parents[2] / "apps/wayfare/subject"
    assert len(judged("export.sql", (folder / "export.sql").read_text(), "export")) == 1
    assert judged("erase.sql", (folder / "erase.sql").read_text(), "erase")
