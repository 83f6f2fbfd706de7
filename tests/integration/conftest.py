"""A real PostgreSQL 17 member in a container of its own, for tests of what is sent to it."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.postgres import Psql

IMAGE = "slipway-test/postgres:17"
DOCKERFILE = """
FROM slipway/base:dev
USER root
RUN groupadd -g 999 postgres && useradd -u 999 -g 999 -d /var/lib/postgresql -M postgres \\
 && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \\
 && apt-get update && apt-get install -y --no-install-recommends postgresql-17 && rm -rf /var/lib/apt/lists/* \\
 && mkdir -p /var/lib/postgresql/data /run/postgresql && chown -R 999:999 /var/lib/postgresql /run/postgresql
ENV PATH=/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER postgres
RUN initdb -D /var/lib/postgresql/data -A scram-sha-256 --auth-local=peer --no-sync --encoding=UTF8 >/dev/null
CMD ["postgres", "-D", "/var/lib/postgresql/data", "-c", "fsync=off", "-c", "log_statement=all"]
"""


def run(argv, stdin=None):
    done = subprocess.run(list(argv), input=stdin or "", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def container():
    name = f"slipway-test-postgres-{os.getpid()}"
    legacy = {**os.environ, "DOCKER_BUILDKIT": "0"}
    build = ["docker", "build", "--quiet", "--tag", IMAGE, "-"]
    subprocess.run(build, input=DOCKERFILE, env=legacy, text=True, check=True, capture_output=True)
    subprocess.run(["docker", "run", "--detach", "--init", "--name", name, IMAGE], check=True, capture_output=True)
    try:
        deadline = time.monotonic() + 30
        while run(["docker", "exec", name, "pg_isready", "-q"])[0] and time.monotonic() < deadline:
            time.sleep(0.2)
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=True, capture_output=True)


@pytest.fixture
def server(container):
    """The member's `postgres` database; everything a test created is gone afterwards."""
    psql = Psql(run, container)
    yield psql
    sweep = """SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
        WHERE datname NOT IN ('postgres', 'template0', 'template1') \\gexec
        SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)' \\gexec"""
    assert psql.send(sweep).ok
