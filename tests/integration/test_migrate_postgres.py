"""Migrations against a real server: what is kept, refused and resumed, whatever ends a session."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core import migration_sql
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.member import patience
from ansible_collections.slipway.compose.plugins.module_utils._core.migration_sql import Session
from ansible_collections.slipway.compose.plugins.module_utils._core.migrations import goal
from ansible_collections.slipway.compose.plugins.module_utils._core.migrator import Goal, Migrator, folder
from ansible_collections.slipway.compose.plugins.modules import migrate as module

FIRST = "CREATE TABLE journeys (id int PRIMARY KEY, place text NOT NULL);\n"
SECOND = "ALTER TABLE journeys ADD COLUMN seats int NOT NULL DEFAULT 1;\n"
CONCURRENT = "-- slipway: no-transaction\n"
TIMEOUT = 30


@pytest.fixture
def database(server):
    assert server.send("CREATE ROLE shop LOGIN;\nCREATE DATABASE shop OWNER shop;\n").ok
    return server.on("shop")


@pytest.fixture
def write(tmp_path):
    def write(number, name, up, down="SELECT 1;"):
        (tmp_path / f"{number:06d}_{name}.up.sql").write_text(up)
        (tmp_path / f"{number:06d}_{name}.down.sql").write_text(down)

    return write


@pytest.fixture
def migrate(database, tmp_path):
    def migrate(target="latest", wait=0, allow_down=False, lock_timeout="5s", statement_timeout="60s"):
        files = folder(tmp_path)
        session = Session("shop", lock_timeout, statement_timeout, "test@here")
        migrator = Migrator(database, session, 60, lambda: patience(wait))
        steps, _ledger = migrator.run(Goal(files, goal(target, files), allow_down))
        return [str(step) for step in steps]

    return migrate


@pytest.fixture
def ledger(database):
    def ledger():
        rows = database.ask(f"SELECT number || ' ' || state FROM {migration_sql.LEDGER} ORDER BY number;")
        return rows.splitlines()

    return ledger


@pytest.fixture
def background():
    """Run something beside the test; its outcome is a list that fills when it ends."""
    threads = []

    def start(work):
        outcome = []

        def record():
            try:
                outcome.append(work())
            except SlipwayError as error:
                outcome.append(error)

        thread = threading.Thread(target=record)
        thread.start()
        threads.append(thread)
        return thread, outcome

    yield start
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def until(question):
    deadline = time.monotonic() + TIMEOUT
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def sleeping(database):
    """Whether a statement that sleeps is running."""
    return database.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep';") != "0"


def tables(database):
    return database.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'journeys';")


def test_up_down_and_up_again_with_a_thousand_rows(database, write, migrate, ledger):
    rows = "".join(f"INSERT INTO journeys VALUES ({number}, 'It''s; place {number}');\n" for number in range(1000))
    write(1, "journeys", FIRST, "DROP TABLE journeys;")
    write(2, "places", rows, "DELETE FROM journeys;")
    write(3, "seats", SECOND, "ALTER TABLE journeys DROP COLUMN seats;")
    assert migrate() == ["apply 000001_journeys.up.sql", "apply 000002_places.up.sql", "apply 000003_seats.up.sql"]
    assert migrate() == []
    assert database.ask("SELECT count(*), max(place) FROM journeys;") == "1000|It's; place 999"
    assert database.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'journeys';") == "shop"
    with pytest.raises(SlipwayError, match="would revert 000003_seats"):
        migrate("2")
    assert migrate("2", allow_down=True) == ["revert 000003_seats.down.sql"]
    assert database.ask("SELECT count(*) FROM journeys;") == "1000"
    assert migrate("0", allow_down=True) == ["revert 000002_places.down.sql", "revert 000001_journeys.down.sql"]
    assert ledger() == []
    assert len(migrate()) == 3


def test_two_runs_at_once_apply_each_file_once(database, write, migrate, ledger, background):
    for number in range(1, 5):
        write(number, f"part{number}", f"SELECT pg_sleep(0.3);CREATE TABLE part{number} ();")
    runs = [background(lambda: migrate(wait=TIMEOUT)) for _ in range(2)]
    for thread, _ in runs:
        thread.join(TIMEOUT)
    steps = [step for _, outcome in runs for step in outcome[0]]
    assert sorted(steps) == [f"apply 00000{number}_part{number}.up.sql" for number in range(1, 5)]
    assert ledger() == [f"{number} applied" for number in range(1, 5)]


def test_a_held_lock_names_its_holder(database, write, migrate, background):
    write(1, "slow", "SELECT pg_sleep(5);")
    write(2, "next", "SELECT 1;")
    background(lambda: migrate(wait=TIMEOUT))
    until(lambda: sleeping(database))
    with pytest.raises(SlipwayError, match=r"holds the lock: pid \d+ \(slipway migrate, active, \d+ s\)"):
        migrate()


def test_a_file_that_fails_leaves_nothing_and_names_its_line(database, write, migrate, ledger):
    write(1, "journeys", FIRST + "\n-- a comment\nINSERT INTO journeys\nVALUES (1, nowhere);\n")
    message = r"000001_journeys.up.sql, statement 2 of 2 \(line 4\) failed: column .nowhere. does not exist\nLINE 5:"
    with pytest.raises(SlipwayError, match=message):
        migrate()
    assert tables(database) == "0"
    assert ledger() == []


def test_a_killed_psql_leaves_nothing_and_frees_the_lock(container, database, write, migrate, ledger, background):
    write(1, "journeys", FIRST + "SELECT pg_sleep(20);")
    thread, outcome = background(migrate)
    until(lambda: sleeping(database))
    subprocess.run(["docker", "exec", "-u", "root", container, "sh", "-c", KILL_PSQL], check=True)
    thread.join(TIMEOUT)
    assert "the session ended in 000001_journeys.up.sql, statement 2 of 2" in str(outcome[0])
    write(1, "journeys", FIRST)
    assert migrate(wait=10) == ["apply 000001_journeys.up.sql"]
    assert ledger() == ["1 applied"]


# procps is not in the image; the session's psql is the one that is fed by the test.
KILL_PSQL = 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = psql ] && grep -q shop $p/cmdline && kill -9 ${p#/proc/}; done; true'


def test_a_terminated_backend_is_reported(database, server, write, migrate, background, ledger):
    write(1, "journeys", FIRST + "SELECT pg_sleep(20);")
    thread, outcome = background(migrate)
    until(lambda: sleeping(database))
    server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")
    thread.join(TIMEOUT)
    assert "terminating connection due to administrator command" in str(outcome[0])
    assert ledger() == []


def test_outside_of_a_transaction_a_crash_is_told_and_resumed(database, server, write, migrate, ledger, background):
    index = "CREATE INDEX CONCURRENTLY places ON journeys (place);\n"
    write(1, "journeys", FIRST)
    write(2, "places", f"{CONCURRENT}{index}SELECT pg_sleep(20);\nSELECT 2;\n")
    thread, _outcome = background(migrate)
    until(lambda: sleeping(database))
    server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")
    thread.join(TIMEOUT)
    assert ledger() == ["1 applied", "2 applying"]
    stopped = r"1 statements are done, statement 2 of 3 \(line 3: SELECT PG_SLEEP …\) may be done in part"
    with pytest.raises(SlipwayError, match=stopped):
        migrate()
    again = "-- slipway: no-transaction repeatable\nDROP INDEX CONCURRENTLY IF EXISTS places;\n"
    write(2, "places", again + index)
    assert migrate() == ["apply 000002_places.up.sql"]
    assert ledger() == ["1 applied", "2 applied"]
    assert migrate() == []


def test_only_the_record_is_missing_after_a_crash_at_the_very_end(database, write, migrate, ledger):
    write(1, "vacuum", f"{CONCURRENT}VACUUM;")
    migrate()
    database.ask(f"UPDATE {migration_sql.LEDGER} SET state = 'applying', statement = 1;")
    assert migrate() == ["record 000001_vacuum.up.sql"]
    assert ledger() == ["1 applied"]


def test_edited_missing_and_late_files_are_refused_together(write, migrate, tmp_path):
    for number, name in enumerate(("one", "two", "three"), 1):
        write(number, name, "SELECT 1;")
    migrate()
    write(1, "one", "SELECT 1; -- edited")
    for direction in ("up", "down"):
        (tmp_path / f"000003_three.{direction}.sql").unlink()
    with pytest.raises(SlipwayError) as refused:
        migrate()
    assert "000001_one was edited after it was applied" in str(refused.value)
    assert "000003_three is applied and its file is missing" in str(refused.value)


def test_a_gap_is_refused_before_anything_runs(write, migrate, database):
    write(1, "journeys", FIRST)
    write(3, "late", "SELECT 1;")
    with pytest.raises(SlipwayError, match="000002 is missing before 000003"):
        migrate()
    assert tables(database) == "0"


def test_a_lock_that_does_not_come_free_is_given_up_with_names(database, write, migrate, background, ledger):
    write(1, "journeys", FIRST)
    migrate()
    write(2, "seats", SECOND)
    background(lambda: database.send("BEGIN;\nLOCK TABLE journeys;\nSELECT pg_sleep(4);\nCOMMIT;\n"))
    until(lambda: sleeping(database))
    with pytest.raises(SlipwayError, match=r"within lock_timeout 200ms.*Open transactions: pid \d+ \(psql, active"):
        migrate(lock_timeout="200ms", wait=1)
    assert migrate(lock_timeout="200ms", wait=TIMEOUT) == ["apply 000002_seats.up.sql"]


def test_a_statement_that_takes_too_long_is_cancelled(write, migrate):
    write(1, "slow", "SELECT pg_sleep(20);")
    with pytest.raises(SlipwayError, match="cancelled: canceling statement due to statement timeout"):
        migrate(statement_timeout="300ms")


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
def test_sql_arrives_as_it_was_written(write, migrate, body, ledger):
    write(1, "body", body)
    migrate()
    assert ledger() == ["1 applied"]


def test_the_module_predicts_applies_and_settles(container, database, write, tmp_path, capsys):
    write(1, "journeys", FIRST)
    arguments = {"container": container, "database": "shop", "directory": str(tmp_path), "wait": 0}

    def call(**more):
        with patch_module_args({**arguments, **more}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    predicted = call(_ansible_check_mode=True)
    assert predicted["changed"] and predicted["steps"] == ["apply 000001_journeys.up.sql"]
    assert predicted["status"] == [{"number": 1, "name": "journeys", "state": "pending"}]
    assert database.ask("SELECT to_regclass('slipway_migrations') IS NULL;") == "t"
    applied = call()
    assert applied["diff"]["after"] == "apply 000001_journeys.up.sql\n"
    assert applied["status"][0]["state"] == "applied" and applied["level"] == 1
    assert not call()["changed"]
    assert call(database="absent")["msg"].startswith("database absent does not exist")
    assert call(database="absent", _ansible_check_mode=True)["changed"]
    assert "no container nowhere" in call(container="nowhere")["msg"]
