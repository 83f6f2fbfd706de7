"""The cluster that backups are measured on: on the engine's disk, with production's limits, and filled."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from backup_cluster import LIMIT, Cluster, declared
from undisturbed import undisturbed

NAME = "slipway-benchmark-backups"
# Not that of the tests, which may run meanwhile.
SUBNET = "10.98.80"
PROCESSES = 2
BATCH = 40_000
# Where the container beside the repository sees the member's files, and where it writes.
DATA, TARGET = "/member/17/main", "/var/lib/postgresql"
# Repeating words, names of few values, numbers, and a random text: what it packs to is in the table.
COLUMNS = """id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int, placed timestamptz,
    state text, amount numeric(10, 2), token text, note text"""
WORDS = (
    "order return late early parcel letter station harbour bridge ticket seat window aisle north south paid "
    "open customer called again by phone about the second invoice of last month"
)
FILL = f"""INSERT INTO {{table}} (customer, placed, state, amount, token, note)
    SELECT random() * 100000, timestamptz '2026-01-01' + random() * interval '300 days',
        (ARRAY['new', 'paid', 'sent', 'returned'])[1 + floor(random() * 4)::int], random() * 500,
        md5(random()::text), concat_ws(' ', {", ".join(["w[ceil(random() * cardinality(w))::int]"] * 16)})
    FROM generate_series(1, {BATCH}), string_to_array('{WORDS}', ' ') AS w;
    SELECT pg_total_relation_size('{{table}}') >> 20;"""


class OnDisk(Cluster):
    """Its volumes are the engine's own, its limits those of production."""

    def held(self, _host: int) -> list[str]:
        # Each is made with the first container that has it, as Compose does.
        return []

    def limits(self, service: dict[str, Any]) -> list[str]:
        return [f"--memory={service['mem_limit']}", f"--cpus={service['cpus']}"]

    def until_led(self) -> None:
        """Until Patroni says so: a member that is alone also answers while it is bootstrapped."""
        ask = (
            "curl",
            "--fail",
            "--silent",
            "--cacert",
            "/config/tls/ca.crt",
            "https://localhost:8008/leader",
        )
        limit = time.monotonic() + LIMIT
        while process(["docker", "exec", self.container("postgres"), *ask])[0]:
            assert time.monotonic() < limit, self.logs()
            # Patroni calls nobody when it has become the leader.
            time.sleep(0.5)  # between two looks

    def fill(self, table: str, megabytes: int, say: Callable[[str], object] = lambda _line: None) -> None:
        # A vacuum would change files while they are measured.
        self.sql(f"CREATE TABLE {table} ({COLUMNS}) WITH (autovacuum_enabled = off)", "shop")
        filled, told = 0, 0
        while filled < megabytes:
            filled = int(self.sql(FILL.format(table=table), "shop"))
            if filled - told >= megabytes / 10:
                say(f"filled {filled} of {megabytes} MB")
                told = filled


@contextmanager
def started() -> Iterator[OnDisk]:
    """A member and a repository with production's defaults, gone afterwards."""
    base = declared(1, SUBNET, wal_every=60, processes=PROCESSES)
    postgres = base.components.postgres
    assert postgres
    components = replace(base.components, postgres=replace(postgres, memory=512 << 20))
    for left in Path(tempfile.gettempdir()).glob(f"{NAME}-*"):
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
    cluster = OnDisk(replace(base, components=components), folder, name=NAME)
    try:
        cluster.remove()
        say("starting PostgreSQL, etcd and the repository")
        cluster.start()
        yield cluster
    finally:
        with undisturbed():
            say("removing all of it")
            cluster.remove()


def inside(container: str, *argv: str, stdin: str = "") -> str:
    """Standard output of a command in a container, however long it takes."""
    code, out, err = process(["docker", "exec", "-i", container, *argv], stdin)
    assert not code, f"{' '.join(argv)} in {container} ended with {code}: {out[-2000:]}{err[-2000:]}"
    return out


def say(line: str) -> None:
    print(f"benchmark-backups: {line}", flush=True)
