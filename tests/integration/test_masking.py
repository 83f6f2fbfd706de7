"""Masking and the check of it in one database, by real PostgreSQL: rules, and what each check must find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_scratch import Scratch
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care import masking_sql
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.clone_source import Masked
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.masking import parse_columns
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql

CANARY = "canary.7f3a@private.example"
RULES = {
    "people": {
        "email": "fake_email",
        "name": "fake_name",
        "login": "hash",
        "born": "empty",
        "about": "empty",
    },
    "orders": {"login": "hash", "note": "keep", "lines": "keep", "tags": "keep", "token": "hash"},
}
SHOP = f"""
CREATE TABLE people (
    id bigint PRIMARY KEY, login text NOT NULL UNIQUE, email varchar(60) UNIQUE, name text NOT NULL,
    born date, about jsonb NOT NULL DEFAULT '{{}}', initial text GENERATED ALWAYS AS (left(name, 1)) STORED);
CREATE TABLE orders (
    id bigint, login text NOT NULL REFERENCES people (login), note text, lines json, tags text[],
    token uuid NOT NULL DEFAULT gen_random_uuid(), friend uuid) PARTITION BY RANGE (id);
CREATE TABLE orders_0 PARTITION OF orders FOR VALUES FROM (0) TO (50);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (50) TO (1000);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE ON people FOR EACH STATEMENT EXECUTE FUNCTION refuse();
INSERT INTO people (id, login, email, name, born, about)
    SELECT n, 'login-' || n, CASE n WHEN 7 THEN '{CANARY}' WHEN 8 THEN NULL
        ELSE 'person' || n || '@some.example' END,
        'Person Number' || n, date '1990-01-01' + n, jsonb_build_object('mother', 'Mother of ' || n)
    FROM generate_series(1, 99) AS n;
INSERT INTO orders (id, login, note) SELECT n, 'login-' || n, 'parcel ' || n FROM generate_series(1, 99) AS n;
"""


@pytest.fixture
def shop(server: Psql) -> Iterator[Psql]:
    assert server.send("CREATE DATABASE shop;").ok
    made = server.on("shop")
    answer = made.send(SHOP)
    assert answer.ok, answer.error
    yield made


@pytest.fixture
def place(shop: Psql) -> Scratch:
    # As postgres, which this server lets in by its socket.
    return Scratch(lambda argv, stdin=None: shop._run(_as_postgres(argv), stdin), shop.container, "none")


def _as_postgres(argv: list[str]) -> list[str]:
    at = next(n for n, word in enumerate(argv) if word in ("psql", "pg_dump")) + 1
    return [*argv[:at], "-U", "postgres", *argv[at:]]


def masked(place: Scratch, rules: dict[str, dict[str, str]] = RULES) -> Masked:
    made = Masked(place, "shop")
    made.mask(rules)
    return made


def test_every_value_is_masked_and_stays_what_it_is_to_others(shop: Psql, place: Scratch) -> None:
    made = masked(place)
    made.check()
    assert made.settled() == {"people": 99, "orders": 99}
    everything = shop.send("SELECT p::text FROM people p; SELECT o::text FROM orders o;").out
    for original in (CANARY, "some.example", "Person Number", "login-", "Mother", "1990"):
        assert original not in everything
    assert "parcel 99" in everything
    assert shop.send("SELECT count(*) FROM orders JOIN people USING (login);").out == "99\n"
    assert shop.send("SELECT count(DISTINCT email), count(DISTINCT name) FROM people;").out == "98|99\n"
    assert shop.send("SELECT count(*) FROM people WHERE initial = left(name, 1);").out == "99\n"
    assert shop.send("SELECT to_regnamespace('slipway_clone') IS NULL;").out == "t\n"


@pytest.mark.parametrize(
    ("place_of_it", "told"),
    [
        (f"note = 'ask {CANARY.upper()}, she knows'", "orders.note has 1 texts with values of people.email"),
        ("note = 'for Person   Number77.'", "orders.note has 1 texts with values of people.name"),
        (r"""lines = '[{"for": "say \"Person Number77\"\nat the door"}]'""", "orders.lines has 1 texts"),
        (r"""lines = '{"\u006cogin-77": 3}'""", "orders.lines has 1 texts with values of people.login"),
        ("tags = ARRAY['a', 'Mother of 77']", "orders.tags has 1 texts with values of people.about"),
        ("friend = token", "orders.friend has 1 texts with values of orders.token"),
    ],
    ids=["other case", "in a sentence", "in JSON", "as a key of JSON", "in a list", "an id without a rule"],
)
def test_what_is_masked_is_found_wherever_else_it_stands(
    shop: Psql, place: Scratch, place_of_it: str, told: str
) -> None:
    assert shop.send(f"UPDATE orders SET {place_of_it} WHERE id = 60;").ok
    with pytest.raises(SlipwayError, match=told) as error:
        masked(place).check()
    assert CANARY not in str(error.value)
    assert "Number77" not in str(error.value)


def test_what_is_public_is_not_searched(shop: Psql, place: Scratch) -> None:
    assert shop.send("UPDATE orders SET note = 'Person Number77' WHERE id = 60;").ok
    masked(place, {**RULES, "orders": {**RULES["orders"], "note": "public"}}).check()


@pytest.mark.parametrize(
    ("object_with_it", "told"),
    [
        (
            "ALTER TABLE orders ALTER note SET DEFAULT 'Ask Person  Number77'",
            r"\(table orders\) .* people.name",
        ),
        (f"CREATE TYPE who AS ENUM ('{CANARY}', 'other')", r"\(type who\) .* people.email"),
        ("CREATE VIEW mothers AS SELECT 'Mother of 77'::text AS who", r"\(view mothers\) .* people.about"),
        ("ALTER TABLE orders ADD CHECK (note <> 'login-77')", r"\(table orders\) .* people.login"),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ /* asked by Person Number77 */ SELECT 1 $$",
            r"\(function f\(\)\) .* people.name",
        ),
        (
            "CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS $x$ BEGIN"
            " EXECUTE $$ SELECT 'login-77' $$; RETURN 1; END $x$",
            r"\(function g\(\)\) .* people.login",
        ),
    ],
    ids=["default", "enum", "view", "check", "comment in a body", "body in a body"],
)
def test_what_is_masked_is_found_in_the_schema(
    shop: Psql, place: Scratch, object_with_it: str, told: str
) -> None:
    answer = shop.send(f"{object_with_it};")
    assert answer.ok, answer.error
    with pytest.raises(SlipwayError, match=told) as error:
        masked(place).check()
    assert "Number77" not in str(error.value)
    masked_again = masked(place)
    masked_again.check(public=True)


def test_no_trigger_or_rule_carries_off_what_is_being_masked(shop: Psql, place: Scratch) -> None:
    made = shop.send(
        "CREATE TABLE log (id bigint, was int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (OLD.id, length(OLD.login)); RETURN NEW; END $$;"
        "CREATE TRIGGER always BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION note();"
        "ALTER TABLE people ENABLE ALWAYS TRIGGER always;"
        "CREATE TRIGGER replica BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();"
        "ALTER TABLE orders ENABLE REPLICA TRIGGER replica;"
        "CREATE RULE also AS ON UPDATE TO people DO ALSO INSERT INTO log VALUES (OLD.id, 0);"
        "ALTER TABLE people ENABLE ALWAYS RULE also;"
    )
    assert made.ok, made.error
    asked = (
        "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname IN ('always', 'replica')"
        " UNION ALL SELECT ev_class::regclass, rulename, ev_enabled FROM pg_rewrite WHERE rulename = 'also'"
        " ORDER BY 1, 2;"
    )
    before = shop.send(asked).out
    assert before.count("|A") == 2
    assert before.count("|R") == 3
    made_so = masked(place)
    made_so.check()
    made_so.settled()
    assert shop.send("SELECT count(*) FROM log;").out == "0\n"
    assert shop.send(asked).out == before


def test_masking_that_forgets_one_row_is_noticed(place: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    real = masking_sql.value

    def broken(column: Any, rule: str, salt: str) -> str:
        own = real(column, rule, salt)
        return f"CASE WHEN id = 7 THEN email ELSE {own} END" if str(column) == "people.email" else own

    monkeypatch.setattr(masking_sql, "value", broken)
    with pytest.raises(SlipwayError, match=r"people.email has 1 rows that are not masked"):
        masked(place).check()


def test_emptying_that_forgets_one_row_is_noticed(place: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    real = masking_sql.value
    monkeypatch.setattr(
        masking_sql,
        "value",
        lambda column, rule, salt: (
            f"CASE WHEN id = 7 THEN {column.name} ELSE {real(column, rule, salt)} END"
            if rule == "empty"
            else real(column, rule, salt)
        ),
    )
    with pytest.raises(SlipwayError, match=r"people.born has 1 rows .*people.about has 1 rows"):
        masked(place).check()


def test_a_new_column_stops_it_before_anything_is_changed(shop: Psql, place: Scratch) -> None:
    assert shop.send("ALTER TABLE people ADD COLUMN phone text; ALTER TABLE orders ADD seen inet;").ok
    with pytest.raises(
        SlipwayError,
        match=r"masking:\n  orders:\n    seen: empty  # inet\n  people:\n    phone: empty  # text",
    ):
        masked(place)
    assert shop.send("SELECT count(*) FROM people WHERE name LIKE 'Person%';").out == "99\n"


def test_what_the_catalog_says_of_columns_is_understood(shop: Psql, place: Scratch) -> None:
    made = shop.send(
        "CREATE DOMAIN word AS varchar(12) NOT NULL; CREATE TYPE size AS ENUM ('s', 'l');"
        'CREATE SCHEMA "Mixed"; CREATE TABLE "Mixed"."Things" (a word, b size, c numeric[], "D" bytea, '
        "e char(20), f name, g int4range, h tsvector);"
    )
    assert made.ok, made.error
    told = {
        it.name: it for it in parse_columns(place.ask(masking_sql.COLUMNS, "shop")) if it.schema == "Mixed"
    }
    assert {name: it.kind for name, it in told.items()} == {
        **dict.fromkeys("aef", "text"), "b": "plain", "c": "list", "D": "bytes", "g": "other", "h": "other",
    }  # fmt: skip
    assert (told["a"].length, told["a"].nullable, told["e"].length) == (12, False, 20)
    assert told["D"].table == "Mixed.Things"
    (login,) = [
        it for it in parse_columns(place.ask(masking_sql.COLUMNS, "shop")) if str(it) == "orders.login"
    ]
    assert login.references == (("people", "login"),)
