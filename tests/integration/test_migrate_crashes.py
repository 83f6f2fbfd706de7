"""A migration that is cut off: what is kept, what the next run says, and how it goes on."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration import migration_sql

FIRST = "CREATE TABLE journeys (id int PRIMARY KEY, place text NOT NULL);\n"
CONCURRENT = "-- slipway: no-transaction\n"
TIMEOUT = 120
# procps is not in the image; the session's psql is the one on the test's database.
KILL_PSQL = """
for process in /proc/[0-9]*; do
  [ "$(cat $process/comm)" = psql ] && grep -q shop $process/cmdline && kill -9 ${process#/proc/}
done
true
"""


def test_a_killed_psql_leaves_nothing_and_frees_the_lock(shop, container, background, until):
    shop.write(1, "journeys", FIRST + "SELECT pg_sleep(50);")
    thread, outcome = background(shop.migrate)
    until(shop.sleeps)
    subprocess.run(["docker", "exec", "-u", "root", container, "sh", "-c", KILL_PSQL], check=True)
    thread.join(TIMEOUT)
    assert "the session ended in 000001_journeys.up.sql, statement 2 of 2" in str(outcome[0])
    shop.write(1, "journeys", FIRST)
    assert shop.migrate(wait=TIMEOUT) == ["apply 000001_journeys.up.sql"]
    assert shop.ledger() == ["1 applied"]


def test_a_terminated_backend_is_reported(shop, server, background, until):
    shop.write(1, "journeys", FIRST + "SELECT pg_sleep(50);")
    thread, outcome = background(shop.migrate)
    until(shop.sleeps)
    server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")
    thread.join(TIMEOUT)
    assert "terminating connection due to administrator command" in str(outcome[0])
    assert shop.ledger() == []


def test_outside_of_a_transaction_a_crash_is_told_and_resumed(shop, server, background, until):
    index = "CREATE INDEX CONCURRENTLY places ON journeys (place);\n"
    shop.write(1, "journeys", FIRST)
    shop.write(2, "places", f"{CONCURRENT}{index}SELECT pg_sleep(50);\nSELECT 2;\n")
    thread, _outcome = background(shop.migrate)
    until(shop.sleeps)
    server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")
    thread.join(TIMEOUT)
    assert shop.ledger() == ["1 applied", "2 applying"]
    stopped = r"1 statements are done, statement 2 of 3 \(line 3: SELECT PG_SLEEP …\) may be done in part"
    with pytest.raises(SlipwayError, match=stopped):
        shop.migrate()
    again = "-- slipway: no-transaction repeatable\nDROP INDEX CONCURRENTLY IF EXISTS places;\n"
    shop.write(2, "places", again + index)
    assert shop.migrate() == ["apply 000002_places.up.sql"]
    assert shop.ledger() == ["1 applied", "2 applied"]
    assert shop.migrate() == []


def test_only_the_record_is_missing_after_a_crash_at_the_very_end(shop):
    shop.write(1, "vacuum", f"{CONCURRENT}VACUUM;")
    shop.migrate()
    shop.database.ask(f"UPDATE {migration_sql.LEDGER} SET state = 'applying', statement = 1;")
    assert shop.migrate() == ["record 000001_vacuum.up.sql"]
    assert shop.ledger() == ["1 applied"]
