"""What the exporter that is deployed tells of a real PostgreSQL: its statements, sessions and tables."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from conftest import run
from images import newest
from whole_stack import SECRETS, compose, usual

QUERIES = 25
HOT = """
CREATE TABLE hot (id int, v text) WITH (autovacuum_enabled = off);
INSERT INTO hot SELECT g, 'x' FROM generate_series(1, 100) g;
UPDATE hot SET v = 'hidden' WHERE id <= 40;
SELECT /* of hidden-user */ count(*) FROM hot, hot AS b, hot AS c WHERE hot.v = 'hidden';
SELECT /* of hidden-user */ count(*) FROM hot, hot AS b, hot AS c WHERE hot.v = 'x';
"""
# Each column list is another query, of next to no time.
MANY = "".join(f"SELECT id{', id' * number} FROM hot;\n" for number in range(QUERIES))


@pytest.fixture
def declared(server):
    """Roles and databases as a deployment makes them."""
    assert server.send(usual(3, 1)["config/postgres/roles.sql"]).ok
    server.ask("SELECT public.pg_stat_statements_reset();")
    yield server
    server.ask("DROP EXTENSION pg_stat_statements;")


@pytest.fixture
def figures(container, declared, tmp_path):
    """Begin to ask; what is answered is a table from metric and its labels to the value."""
    tree, definition = usual(3, 1), compose(3, 1)["postgres-exporter"]
    tmp_path.chmod(0o755)
    for name in ("password", "queries.yml"):
        (tmp_path / name).write_text(tree[f"config/postgres-exporter/{name}"])
    name = f"slipway-test-exporter-{os.getpid()}"
    given = {**definition["environment"], "DATA_SOURCE_URI": "127.0.0.1:5432/postgres?sslmode=disable"}
    started = ["docker", "run", "--detach", "--name", name, f"--network=container:{container}"]
    started += [f"--env={key}={value}" for key, value in given.items()]
    started += [f"--volume={tmp_path}:/config:ro", newest("postgres-exporter"), *definition["command"]]
    url = re.sub(r"/$", "/metrics", definition["healthcheck"]["test"][-1])

    def ask():
        if run(["docker", "inspect", name])[0]:
            subprocess.run(started, check=True, capture_output=True)
        asked = ["docker", "exec", name, "curl", "--silent", "--show-error", "--retry", "9"]
        code, out, err = run([*asked, "--retry-connrefused", url])
        assert code == 0, err
        return dict(line.rsplit(" ", 1) for line in out.splitlines() if not line.startswith("#"))

    yield ask
    run(["docker", "rm", "--force", name])


@pytest.fixture
def holder(container):
    """A session that has locked a table and forgotten it."""
    argv = ["docker", "exec", "-i", container, "psql", "-q", "-U", "wayfare", "wayfare"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as session:
        assert session.stdin
        yield lambda: print("BEGIN; LOCK TABLE hot;", file=session.stdin, flush=True)
        session.stdin.close()


def of(figures, metric, *labels):
    """Values of a metric's series that have all these labels."""
    return [
        float(value)
        for series, value in figures.items()
        if series.startswith(f"{metric}{{") and all(label in series for label in labels)
    ]


def test_statements_are_told_without_their_literals_and_few_of_them(declared, figures):
    owner = declared.as_user("wayfare").on("wayfare")
    assert owner.send(HOT).ok
    assert owner.send(MANY).ok
    # Making the roles again leaves no password behind.
    assert declared.send(usual(3, 1)["config/postgres/roles.sql"]).ok
    told = figures()
    assert told["pg_exporter_last_scrape_error"] == "0"
    queries = [re.search(r'query="([^"]*)"', it)[1] for it in told if it.startswith("pg_statements_calls")]
    assert len(queries) == 20
    assert max(map(len, queries)) == 100
    counted = 'query="SELECT ? count(*) FROM hot, hot AS b, hot AS c WHERE hot.v = $1"'
    assert of(told, "pg_statements_calls_total", counted) == [2]
    assert of(told, "pg_statements_rows_total", counted) == [2]
    assert of(told, "pg_statements_seconds_total", counted)[0] > 0
    assert of(told, "pg_statements_mean_seconds", counted)[0] > 0
    hidden = ["hidden", "PASSWORD", SECRETS["postgres_monitor"]]
    assert [word for word in hidden if any(word in line for line in told)] == []


def test_dead_rows_are_told_of_every_database(declared, figures, until):
    wayfare = declared.as_user("wayfare").on("wayfare")
    assert wayfare.send(HOT).ok
    until(lambda: wayfare.ask("SELECT n_dead_tup FROM pg_stat_user_tables;") == "40")
    told, table = figures(), ('datname="wayfare"', 'schemaname="public"', 'relname="hot"')
    assert of(told, "pg_tables_dead_rows", *table) == [40]
    assert of(told, "pg_tables_live_rows", *table) == [100]


def test_sessions_that_hold_others_up_are_told(declared, figures, holder, background, until):
    wayfare = declared.as_user("wayfare").on("wayfare")
    assert wayfare.send(HOT).ok
    here = 'datname="wayfare"'
    assert of(figures(), "pg_sessions_waiting_for_locks", here) == [0]
    assert of(figures(), "pg_sessions_idle_in_transaction_seconds", here) == [0]
    holder()
    until(lambda: of(figures(), "pg_sessions_idle_in_transaction_seconds", here)[0] > 0)
    background(lambda: wayfare.send("SELECT count(*) FROM hot;"))
    until(lambda: of(figures(), "pg_sessions_waiting_for_locks", here) == [1])
    told = figures()
    assert of(told, "pg_sessions_longest_lock_wait_seconds", here)[0] > 0
    # Who waits does not run.
    assert of(told, "pg_sessions_longest_query_seconds", here) == [0]
    declared.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in%';")


def test_a_query_that_runs_is_told(declared, figures, background, until):
    wayfare = declared.as_user("wayfare").on("wayfare")
    background(lambda: wayfare.send("SELECT pg_sleep(600);"))
    until(lambda: of(figures(), "pg_sessions_longest_query_seconds", 'datname="wayfare"')[0] > 0)
    assert of(figures(), "pg_sessions_slow_queries", 'datname="wayfare"') == [0]
    declared.ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")
