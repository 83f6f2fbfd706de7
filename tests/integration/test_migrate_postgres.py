"""Migrations against a real server: what is applied, reverted, refused and waited for."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import sql
from ansible_collections.slipway.compose.plugins.modules import migrate as module
from conftest import EARLIER, rules, run

FIRST = "CREATE TABLE journeys (id int PRIMARY KEY, place text NOT NULL);\n"
SECOND = "ALTER TABLE journeys ADD COLUMN seats int NOT NULL DEFAULT 1;\n"
TIMEOUT = 120


def test_up_down_and_up_again_with_a_thousand_rows(shop):
    rows = "".join(
        f"INSERT INTO journeys VALUES ({number}, 'It''s; place {number}');\n" for number in range(1000)
    )
    shop.write(1, "journeys", FIRST, "DROP TABLE journeys;")
    shop.write(2, "places", rows, "DELETE FROM journeys;")
    shop.write(3, "seats", SECOND, "ALTER TABLE journeys DROP COLUMN seats;")
    assert shop.migrate() == [
        "apply 000001_journeys.up.sql",
        "apply 000002_places.up.sql",
        "apply 000003_seats.up.sql",
    ]
    assert shop.migrate() == []
    assert shop.database.ask("SELECT count(*), max(place) FROM public.journeys;") == "1000|It's; place 999"
    assert shop.database.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'journeys';") == "shop"
    with pytest.raises(SlipwayError, match="would revert 000003_seats"):
        shop.migrate("2")
    assert shop.migrate("2", allow_down=True) == ["revert 000003_seats.down.sql"]
    assert shop.database.ask("SELECT count(*) FROM public.journeys;") == "1000"
    assert shop.migrate("0", allow_down=True) == [
        "revert 000002_places.down.sql",
        "revert 000001_journeys.down.sql",
    ]
    assert shop.ledger() == []
    assert len(shop.migrate()) == 3


def test_two_runs_at_once_apply_each_file_once(shop, background):
    for number in range(1, 5):
        shop.write(number, f"part{number}", f"SELECT pg_sleep(0.3);CREATE TABLE part{number} ();")
    runs = [background(lambda: shop.migrate(wait=TIMEOUT)) for _ in range(2)]
    for thread, _ in runs:
        thread.join(TIMEOUT)
    steps = [step for _, outcome in runs for step in outcome[0]]
    assert sorted(steps) == [f"apply 00000{number}_part{number}.up.sql" for number in range(1, 5)]
    assert shop.ledger() == [f"{number} applied" for number in range(1, 5)]


def test_a_held_lock_names_its_holder(shop, background, until):
    shop.write(1, "slow", "SELECT pg_sleep(50);")
    shop.write(2, "next", "SELECT 1;")
    background(lambda: shop.migrate(wait=TIMEOUT))
    until(shop.sleeps)
    with pytest.raises(SlipwayError, match=r"holds the lock: pid \d+ \(slipway migrate, active, \d+ s\)"):
        shop.migrate()
    shop.cancel_sleep()


def test_a_file_that_fails_leaves_nothing_and_names_its_line(shop):
    shop.write(1, "journeys", FIRST + "\n-- a comment\nINSERT INTO journeys\nVALUES (1, nowhere);\n")
    message = r"up.sql, statement 2 of 2 \(line 4\) failed: column .nowhere. does not exist\nLINE 5:"
    with pytest.raises(SlipwayError, match=message):
        shop.migrate()
    assert shop.tables() == "0"
    assert shop.ledger() == []


def test_edited_missing_and_late_files_are_refused_together(shop, tmp_path):
    for number, name in enumerate(("one", "two", "three"), 1):
        # An expand at the end may be gone: an older revision lives with it.
        shop.write(number, name, "-- slipway: contract\nSELECT 1;")
    shop.migrate()
    shop.write(1, "one", "SELECT 1; -- edited")
    for direction in ("up", "down"):
        (tmp_path / f"000003_three.{direction}.sql").unlink()
    with pytest.raises(SlipwayError) as refused:
        shop.migrate()
    assert "000001_one was edited after it ran at" in str(refused.value)
    assert "000003_three is applied and its file is missing" in str(refused.value)


def test_a_gap_is_refused_before_anything_runs(shop):
    shop.write(1, "journeys", FIRST)
    shop.write(3, "late", "SELECT 1;")
    with pytest.raises(SlipwayError, match="000002 is missing before 000003"):
        shop.migrate()
    assert shop.tables() == "0"


def test_a_lock_that_does_not_come_free_is_given_up_with_names(shop, background, until):
    shop.write(1, "journeys", FIRST)
    shop.migrate()
    shop.write(2, "seats", SECOND)
    holding = "BEGIN;\nLOCK TABLE journeys;\nSELECT pg_sleep(600);\n"
    background(lambda: shop.database.send(holding, seconds=0))
    until(shop.sleeps)
    told = r"within lock_timeout 200ms.*Open transactions: pid \d+ \(psql, active"
    try:
        with pytest.raises(SlipwayError, match=told):
            shop.migrate(lock_timeout="200ms", wait=1)
    finally:
        shop.cancel_sleep()
    assert shop.migrate(lock_timeout="200ms", wait=TIMEOUT) == ["apply 000002_seats.up.sql"]


def test_a_statement_that_takes_too_long_is_cancelled(shop):
    shop.write(1, "slow", "SELECT pg_sleep(20);")
    with pytest.raises(SlipwayError, match="cancelled: canceling statement due to statement timeout"):
        shop.migrate(statement_timeout="300ms")


@pytest.mark.parametrize(
    "body",
    [
        "SELECT ':owner :\"x\" \\echo';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$;",
        "CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;",
        "DO $x$ BEGIN RAISE NOTICE 'a; b'; END $x$;",
        "SELECT /* ; /* nested ; */ */ 1 AS \"a;b\", E'it\\'s;', $1$2;".replace("$1$2", "'€'"),
        "SET search_path = '';",
    ],
    ids=["psql-words", "plpgsql-body", "atomic-body", "do-block", "comments-and-texts", "search-path"],
)
def test_sql_arrives_as_it_was_written(shop, body):
    shop.write(1, "body", body)
    shop.migrate()
    assert shop.ledger() == ["1 applied"]


@pytest.fixture
def call(container, tmp_path, capsys):
    """The module, and what it answers."""
    arguments = {"container": container, "database": "shop", "directory": str(tmp_path), "wait": 0}

    def call(**more):
        with patch_module_args({**arguments, **more}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_the_module_predicts_applies_and_settles(shop, call):
    shop.write(1, "journeys", FIRST)
    predicted = call(_ansible_check_mode=True)
    assert predicted["changed"] and predicted["steps"] == ["apply 000001_journeys.up.sql"]
    assert predicted["status"] == [{"number": 1, "name": "journeys", "state": "pending"}]
    assert shop.database.ask("SELECT to_regclass('public.slipway_migrations') IS NULL;") == "t"
    applied = call()
    assert applied["diff"]["after"] == "apply 000001_journeys.up.sql\n"
    assert applied["status"][0]["state"] == "applied" and applied["level"] == 1
    assert not call()["changed"]
    assert call(database="absent")["msg"].startswith("database absent does not exist")
    assert call(database="absent", _ansible_check_mode=True)["changed"]
    assert "no container nowhere" in call(container="nowhere")["msg"]


# What an owner can have run with the rights of whoever looks at a row: it tells nobody when it has none.
TRAP = """
SET ROLE shop;
CREATE FUNCTION public.spring() RETURNS void LANGUAGE plpgsql
    AS 'BEGIN RESET ROLE; ALTER ROLE shop SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END';
CREATE FUNCTION public.on_write() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM public.spring(); RETURN new; END';
"""
VIEW = """
ALTER TABLE public.slipway_migrations RENAME TO kept;
CREATE FUNCTION public.on_read() RETURNS boolean LANGUAGE plpgsql
    AS 'BEGIN PERFORM public.spring(); RETURN true; END';
CREATE VIEW public.slipway_migrations AS SELECT * FROM public.kept WHERE public.on_read();
"""
CAST = """
CREATE TYPE public.word AS ENUM ('journeys', 'next');
CREATE FUNCTION public.on_cast(public.word) RETURNS json LANGUAGE plpgsql
    AS 'BEGIN PERFORM public.spring(); RETURN to_json($1::text); END';
CREATE CAST (public.word AS json) WITH FUNCTION public.on_cast(public.word);
ALTER TABLE public.slipway_migrations ALTER name TYPE public.word USING name::public.word;
"""
LEDGER_TRIGGER = """
CREATE TRIGGER spring BEFORE INSERT OR UPDATE ON public.slipway_migrations
    FOR EACH ROW EXECUTE FUNCTION public.on_write();
"""
TABLE_TRIGGER = """
CREATE TRIGGER spring BEFORE INSERT ON journeys FOR EACH ROW EXECUTE FUNCTION public.on_write();
"""
WRITES = "INSERT INTO journeys VALUES (1, 'here');"


@pytest.mark.parametrize("trap", [VIEW, CAST], ids=["a-view-in-its-place", "a-cast-of-a-value"])
def test_a_ledger_that_is_a_trap_makes_nobody_a_superuser(shop, server, trap):
    shop.write(1, "journeys", FIRST)
    shop.migrate()
    assert shop.database.send(f"{TRAP}{trap}").ok
    if trap == VIEW:
        with pytest.raises(SlipwayError, match=r"public\.slipway_migrations is no table"):
            shop.migrate()
    else:
        assert shop.migrate() == []
    assert server.ask("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop';") == "f"


@pytest.mark.parametrize(
    "trap", [LEDGER_TRIGGER, TABLE_TRIGGER], ids=["where-it-is-recorded", "where-it-writes"]
)
def test_a_trap_for_a_migration_makes_nobody_a_superuser(shop, server, trap):
    shop.write(1, "journeys", FIRST)
    shop.migrate()
    assert shop.database.send(f"{TRAP}{trap}").ok
    shop.write(2, "next", WRITES)
    assert shop.migrate() == ["apply 000002_next.up.sql"]
    assert server.ask("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop';") == "f"


def test_a_member_of_an_earlier_version_is_judged_by_whom_it_lets_in(shop, call, admit):
    """It runs so before this version is deployed, and after a rollback."""
    shop.write(1, "journeys", FIRST)
    shop.migrate()
    shop.write(2, "seats", SECOND)
    admit(EARLIER)
    assert call(state="planned")["expand"] == ["000002_seats.up.sql"]
    assert call(state="permitted")["judged"]
    assert call(_ansible_check_mode=True)["steps"] == ["apply 000002_seats.up.sql"]
    refused = call()
    assert "does not let shop in: no pg_hba.conf entry" in refused["msg"]
    assert refused["remedy"].startswith("Deploy this version")
    assert shop.ledger() == ["1 applied"]


def test_a_member_that_is_yet_to_read_its_rules_is_waited_for(shop, container, admit, background, until):
    def refusals():
        return "".join(run(["docker", "logs", container])[1:]).count("FATAL:  no pg_hba.conf entry")

    shop.write(1, "journeys", FIRST)
    admit(EARLIER)
    before = refusals()
    thread, outcome = background(lambda: shop.migrate(wait=TIMEOUT))
    until(lambda: refusals() > before)
    admit(rules("pg_hba"))
    thread.join(TIMEOUT)
    assert outcome == [["apply 000001_journeys.up.sql"]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER ROLE shop NOLOGIN", "is not permitted to log in.*name another owner"),
        (
            "ALTER ROLE shop CONNECTION LIMIT 0",
            "has no connection left for shop: too many connections for role",
        ),
        (
            "ALTER DATABASE shop OWNER TO postgres; REVOKE ALL ON DATABASE shop FROM PUBLIC",
            "permission denied",
        ),
    ],
    ids=["no-login", "no-connection-left", "no-connect"],
)
def test_an_owner_that_cannot_log_in_is_told_of(shop, server, change, told):
    shop.write(1, "journeys", FIRST)
    server.ask(f"{change};")
    with pytest.raises(SlipwayError, match=told):
        shop.migrate()
    assert shop.tables() == "0"


def test_what_is_set_for_the_role_ends_no_file_and_gives_no_object_to_another(shop, server):
    server.ask("CREATE ROLE others ROLE shop; ALTER ROLE shop SET role = 'others';")
    server.ask("ALTER ROLE shop SET transaction_timeout = '30s'; ALTER ROLE shop SET lock_timeout = '20s';")
    names = "name IN ('lock_timeout', 'statement_timeout', 'transaction_timeout')"
    shop.write(
        1, "limits", f"CREATE TABLE limits AS SELECT setting FROM pg_settings WHERE {names} ORDER BY name;"
    )
    shop.migrate()
    assert shop.database.ask("SELECT setting FROM public.limits;").splitlines() == ["5000", "60000", "0"]
    assert shop.database.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'limits';") == "shop"


@pytest.mark.parametrize("name", ['a b "c" $1', "Größe/+x", "all", "-U"])
def test_a_role_of_any_name_runs_its_migrations(server, call, tmp_path, name):
    quoted = sql.name(name)
    assert server.send(f"CREATE ROLE {quoted} LOGIN;\nCREATE DATABASE {quoted} OWNER {quoted};").ok
    (tmp_path / "000001_journeys.up.sql").write_text(FIRST)
    (tmp_path / "000001_journeys.down.sql").write_text("DROP TABLE journeys;")
    assert call(database=name)["steps"] == ["apply 000001_journeys.up.sql"]
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'journeys';"
    assert server.on(name).ask(owner) == name
