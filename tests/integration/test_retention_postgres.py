"""Rows that are deleted because they are old, and rows that are not, by real PostgreSQL."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.retention_work import (
    METRICS,
    Retention,
    Rule,
    process,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql

DAY = 86_400
SHOP = """CREATE TABLE visits (id int, at timestamptz NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE visits_0 PARTITION OF visits FOR VALUES FROM (0) TO (50);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (50) TO (1000);
INSERT INTO visits SELECT n, now() - make_interval(days => CASE WHEN n % 2 = 0 THEN 40 ELSE 1 END)
    FROM generate_series(1, 99) AS n;
CREATE TABLE orders (id int PRIMARY KEY, on_day date NOT NULL);
CREATE TABLE parcels (id int REFERENCES orders (id));
INSERT INTO orders SELECT n, current_date - n FROM generate_series(1, 60) AS n;
"""
VISITS, ORDERS = Rule("shop", "visits", "at", 30 * DAY), Rule("shop", "public.orders", "on_day", 30 * DAY)


@pytest.fixture
def shop(server: Psql) -> Psql:
    assert server.send("CREATE ROLE shop LOGIN;\nCREATE DATABASE shop OWNER shop;\n").ok
    made = server.on("shop")
    answer = made.as_user("shop").send(SHOP)
    assert answer.ok, answer.error
    return made


@pytest.fixture
def retention(shop: Psql, tmp_path: Path) -> Retention:
    (tmp_path / METRICS).parent.mkdir(parents=True)
    return Retention(tmp_path, process, shop.container, batch=7)


def ids(shop: Psql, table: str) -> set[int]:
    return {int(line) for line in shop.send(f"SELECT id FROM {table};").out.split()}


def test_old_rows_go_in_all_partitions_and_young_ones_stay(shop: Psql, retention: Retention) -> None:
    assert [it.rows for it in retention.due([VISITS, ORDERS])] == [49, 31]
    said: list[str] = []
    outcomes = retention.delete([VISITS, ORDERS], said.append)
    assert said == ["shop: visits: 49 rows deleted", "shop: public.orders: 31 rows deleted"]
    assert [it.problem for it in outcomes] == ["", ""]
    assert ids(shop, "visits") == set(range(1, 100, 2))
    # A date is its first moment, which is thirty days ago at whatever hour this runs.
    assert ids(shop, "orders") == set(range(1, 30))
    assert [it.rows for it in retention.delete([VISITS], said.append)] == [0]


def test_what_is_referred_to_stays_and_the_other_rules_are_kept(shop: Psql, retention: Retention) -> None:
    assert shop.send("INSERT INTO parcels VALUES (60);").ok
    outcomes = retention.delete([ORDERS, VISITS], lambda _line: None)
    assert "violates foreign key constraint" in outcomes[0].problem
    assert (outcomes[1].problem, outcomes[1].rows) == ("", 49)
    assert 60 in ids(shop, "orders")


FAMILY = """CREATE SCHEMA web;
CREATE TABLE threads (id int PRIMARY KEY, at timestamptz NOT NULL);
CREATE TABLE posts (id int PRIMARY KEY, thread int REFERENCES threads ON DELETE CASCADE,
    answers int REFERENCES posts ON DELETE CASCADE);
CREATE TABLE web.marks (post int REFERENCES posts ON DELETE CASCADE, n int) PARTITION BY RANGE (n);
CREATE TABLE web.marks_0 PARTITION OF web.marks FOR VALUES FROM (0) TO (2);
CREATE TABLE web.marks_1 PARTITION OF web.marks FOR VALUES FROM (2) TO (100);
INSERT INTO threads SELECT n, now() - make_interval(days => CASE WHEN n <= 20 THEN 40 ELSE 1 END)
    FROM generate_series(1, 30) AS n;
-- Each thread has two posts, the second answers that of the next thread, and each post three marks.
INSERT INTO posts SELECT n, n, NULL FROM generate_series(1, 30) AS n;
INSERT INTO posts SELECT 100 + n, NULL, n FROM generate_series(1, 30) AS n;
INSERT INTO web.marks SELECT id, m FROM posts, generate_series(0, 2) AS m;
"""


def test_what_cascades_is_refused_until_the_rule_lists_it_and_is_counted(
    shop: Psql, retention: Retention
) -> None:
    answer = shop.as_user("shop").send(FAMILY)
    assert answer.ok, answer.error
    threads = Rule("shop", "threads", "at", 30 * DAY)
    for do in (retention.due, lambda rules: retention.delete(rules, lambda _line: None)):
        (refused,) = do([threads])
        assert refused.problem.startswith("rows of posts, web.marks would go along, however young")
    assert len(ids(shop, "threads")) == 30

    listed = replace(threads, cascades=["public.posts", "web.marks"])
    along = {"posts": 40, "web.marks": 120}
    (due,) = retention.due([listed])
    assert (due.problem, due.rows, due.along) == ("", 20, along)
    said: list[str] = []
    # Three batches.
    (done,) = retention.delete([listed], said.append)
    assert (done.problem, done.rows, done.along) == ("", 20, along)
    assert said == ["shop: threads: 20 rows deleted, and with them 40 of posts, 120 of web.marks"]
    assert len(ids(shop, "posts")) == 20


def test_rows_that_go_along_in_the_same_table_are_told_from_those_that_are_old(
    shop: Psql, retention: Retention
) -> None:
    answer = shop.as_user("shop").send(
        "CREATE TABLE notes (id int PRIMARY KEY, at timestamptz NOT NULL,"
        " about int REFERENCES notes ON DELETE CASCADE);"
        "INSERT INTO notes VALUES (1, now() - interval '40 days', NULL), (2, now(), 1), (3, now(), 2),"
        " (4, now(), NULL);"
    )
    assert answer.ok, answer.error
    notes = Rule("shop", "notes", "at", 30 * DAY, ["notes"])
    (due,) = retention.due([notes])
    assert (due.rows, due.along) == (1, {"notes": 2})
    (done,) = retention.delete([notes], lambda _line: None)
    assert (done.rows, done.along) == (1, {"notes": 2})
    assert ids(shop, "notes") == {4}


def test_a_row_that_somebody_holds_is_left_to_the_next_time(shop: Psql, retention: Retention) -> None:
    hold = "BEGIN; SELECT id FROM visits WHERE id = 60 FOR UPDATE; SELECT pg_sleep(600);"
    command = ["docker", "exec", "-i", shop.container, "psql", "-U", "postgres", "-d", "shop", "-c", hold]
    holder = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while "0" in shop.send("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep';").out:
            continue
        assert retention.delete([VISITS], lambda _line: None)[0].rows == 48
        assert ids(shop, "visits") == {60, *range(1, 100, 2)}
    finally:
        shop.send("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")
        holder.wait(60)
    assert retention.delete([VISITS], lambda _line: None)[0].rows == 1


def test_nothing_is_run_as_a_superuser(shop: Psql, retention: Retention) -> None:
    """What an owner hangs on its table could do anything, if whoever deletes could."""
    own = shop.as_user("shop")
    assert own.send(
        "CREATE FUNCTION climb() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN ALTER ROLE shop SUPERUSER; RETURN old; END $$;"
        "CREATE TRIGGER climb BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION climb();"
    ).ok
    (outcome,) = retention.delete([ORDERS], lambda _line: None)
    assert "permission denied" in outcome.problem or "must be" in outcome.problem
    assert shop.send("SELECT rolsuper FROM pg_roles WHERE rolname = 'shop';").out == "f\n"
