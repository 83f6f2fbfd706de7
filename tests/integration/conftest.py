"""A real PostgreSQL 17 member in a container of its own, for tests of what is sent to it."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration import migration_sql
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_sql import Session
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrations import goal
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrator import (
    Goal,
    Migrator,
    folder,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.member import patience
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from images import newest
from whole_stack import rendered, stack

TIMEOUT = 120

START = """
set -e
export PATH=/usr/lib/postgresql/17/bin:$PATH
initdb -D /tmp/data -A scram-sha-256 --auth-local=peer --no-sync --encoding=UTF8 >/dev/null
exec postgres -D /tmp/data -c fsync=off -c log_statement=all -c unix_socket_directories=/var/run/postgresql \
  -c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.track_utility=off
"""
# The rules of a member: who may come from where, as whom.
EARLIER = ["local all postgres peer"]


def rules(section):
    """What the product puts into `pg_hba` or `pg_ident`; this server has no TLS, so TCP comes without."""
    settings = yaml.safe_load(rendered(stack())["config/postgres/patroni.yml"])["postgresql"]
    return [rule.replace("hostssl", "host") for rule in settings[section]]


def run(argv, stdin=None):
    done = subprocess.run(list(argv), input=stdin or "", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def container():
    name = f"slipway-test-postgres-{os.getpid()}"
    started = ["docker", "run", "--detach", "--init", "--name", name, "--user", "999:999"]
    subprocess.run([*started, newest("postgres"), "sh", "-c", START], check=True, capture_output=True)
    try:
        deadline = time.monotonic() + TIMEOUT
        while run(["docker", "exec", name, "pg_isready", "-q"])[0]:
            assert time.monotonic() < deadline, run(["docker", "logs", name])
            time.sleep(0.2)  # between two looks
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=True, capture_output=True)


@pytest.fixture
def admit(container, until):
    """Give the member rules and have it read them."""

    def admit(hba):
        for name, lines in (("pg_hba", hba), ("pg_ident", rules("pg_ident"))):
            write = ["docker", "exec", "-i", container, "sh", "-c", f"cat > /tmp/data/{name}.conf"]
            assert run(write, "".join(f"{line}\n" for line in lines))[0] == 0
        psql = Psql(run, container)
        read = psql.ask("SELECT pg_conf_load_time() FROM pg_reload_conf();")
        until(lambda: psql.ask("SELECT pg_conf_load_time();") != read)

    return admit


@pytest.fixture
def server(container, admit):
    """The member's `postgres` database; everything a test created is gone afterwards."""
    admit(rules("pg_hba"))
    psql = Psql(run, container)
    yield psql
    sweep = """SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
        WHERE datname NOT IN ('postgres', 'template0', 'template1') \\gexec
        SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)' \\gexec"""
    assert psql.send(sweep).ok


class Shop:
    """A database to migrate, and the folder of its migrations."""

    def __init__(self, database, directory):
        self.database = database
        self.directory = directory

    def write(self, number, name, up, down="SELECT 1;"):
        (self.directory / f"{number:06d}_{name}.up.sql").write_text(up)
        (self.directory / f"{number:06d}_{name}.down.sql").write_text(down)

    def migrate(self, target="latest", wait=0, allow_down=False, lock_timeout="5s", statement_timeout="60s"):
        files = folder(self.directory)
        session = Session("shop", lock_timeout, statement_timeout, "test@here")
        migrator = Migrator(self.database, session, 60, lambda: patience(wait))
        steps, _ledger = migrator.run(Goal(files, goal(target, files), allow_down))
        return [str(step) for step in steps]

    def ledger(self):
        rows = f"SELECT number || ' ' || state FROM {migration_sql.LEDGER} ORDER BY number;"
        return self.database.ask(rows).splitlines()

    def sleeps(self):
        """Whether a statement that sleeps is running."""
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep';"
        return self.database.ask(asleep) != "0"

    def cancel_sleep(self):
        self.database.ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';")

    def tables(self):
        return self.database.ask("SELECT count(*) FROM pg_tables WHERE tablename = 'journeys';")


@pytest.fixture
def shop(server, tmp_path):
    assert server.send("CREATE ROLE shop LOGIN;\nCREATE DATABASE shop OWNER shop;\n").ok
    return Shop(server.on("shop"), tmp_path)


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


@pytest.fixture
def until():
    def until(question, logs=lambda: None):
        deadline = time.monotonic() + TIMEOUT
        while not question():
            assert time.monotonic() < deadline, logs()
            time.sleep(0.1)  # between two looks

    return until
