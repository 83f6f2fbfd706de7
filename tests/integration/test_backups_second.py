"""PostgreSQL's second repository in a real S3 store, whose certificate a company's CA signed.

By hand: waiting for a store that is not trusted takes four minutes, all the rest under two, and the store's
image, once, two to five.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import (
    DIFFERENTIAL,
    FULL,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_proof import prove
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import Backups
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import STEPS, planned
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import (
    SecondRepository,
)
from backup_cluster import Cluster, declared, docker, in_memory
from s3_store import Store
from side_by_side import own_subnet
from whole_stack import SECRETS

pytestmark = pytest.mark.by_hand
SUBNET = own_subnet(86)
PLACE = f"{SUBNET}.40"
BUCKET = "databases"
ROWS = 5_000
CAS = Path("/etc/ssl/certs/ca-certificates.crt")


class Stored(Cluster):
    """A member, and a host with the repository that also trusts the company's CA."""

    store: Store

    @property
    def trusted(self) -> Path:
        return self.folder / "certs/ca-certificates.crt"

    def start(self) -> None:
        self.trusted.parent.mkdir()
        self.trust()
        super().start()
        self.store.start(self.name)
        self.store.make(BUCKET)
        (self.folder / "h2/state").mkdir()

    def trust(self) -> None:
        """As `update-ca-certificates` leaves it with a CA that was added."""
        shutil.copy(CAS, self.trusted)
        with self.trusted.open("a") as file:
            file.write(self.store.authority)

    def _source(self, source: str, host: int, tree: Path) -> str:
        return str(self.trusted.parent) if source == "/etc/ssl/certs" else super()._source(source, host, tree)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    name, folder = f"slipway-test-backups-{os.getpid()}", tmp_path_factory.mktemp("second")
    store = Store(f"{name}-place", PLACE, folder / "place")
    second = SecondRepository(path="/shop", s3=store.declared(BUCKET), sftp=None)
    made = Stored(declared(1, SUBNET, second=second), folder, SECRETS | store.secrets, name)
    made.store = store
    with made:
        made.sql("CREATE DATABASE shop")
        made.sql(f"CREATE TABLE orders AS SELECT generate_series(1, {ROWS}) AS id", "shop")
        yield made


@pytest.fixture(scope="module")
def backups(cluster: Stored) -> Backups:
    """With a backup in both places, and WAL that was written after it."""
    made = Backups(cluster.folder / "h2", process, cluster.repository)
    made.take(FULL, print)
    cluster.sql("INSERT INTO orders VALUES (1000001)", "shop")
    cluster.archived()
    return made


def proof(backups: Backups) -> Any:
    query = f"SELECT (count(*), max(id)) = ({ROWS + 1}, 1000001) FROM orders"
    asked = [{"name": "orders", "database": "shop", "sql": query}]
    return prove(backups.repository, asked, (1, 2), volume_options=in_memory(999), margin=0)


def test_backups_and_wal_are_in_both_places(backups: Backups) -> None:
    info = backups.repository.info()
    (one,), (other,) = info.of(1), info.of(2)
    assert (one.kind, other.kind) == (FULL, FULL)
    assert not one.damaged and not other.damaged
    last = {number: backups.repository.segments(one.archive, number)[-1] for number in (1, 2)}
    assert last[1] == last[2] > one.wal_stop


def test_it_is_encrypted_with_a_key_of_its_own(cluster: Stored, backups: Backups) -> None:
    file = ("repo-get", "--repo=2", "backup/wayfare/backup.info")
    assert backups.repository.checked("cannot be read", *file).startswith("[backrest]")
    inside = ["docker", "exec", cluster.repository, "pgbackrest", "--stanza=wayfare"]
    code, raw, _err = process([*inside, "repo-get", "--repo=2", "--raw", "backup/wayfare/backup.info"])
    assert not code and raw.startswith("Salted__")
    code, _out, err = process(
        ["docker", "exec", "--env=PGBACKREST_REPO2_CIPHER_PASS=other", *inside[2:], *file]
    )
    assert code, err


def test_a_proof_reads_every_file_of_both(backups: Backups) -> None:
    found = proof(backups)
    assert found.ok, found.problems
    assert [it.name for it in found.checks][:2] == ["repository 1", "repository 2"]


def test_a_file_that_is_damaged_in_the_store_is_named(backups: Backups) -> None:
    label = backups.repository.info().of(2)[0].label
    path = f"backup/wayfare/{label}/bundle/1"
    inside = ("docker", "exec", "-i", backups.repository.container, "sh", "-ec")
    tool = "pgbackrest --repo=2 --raw"
    keep = f"{tool} repo-get {path} > /tmp/kept"
    spoil = f"(head -c 9000 /tmp/kept; printf damage; tail -c +9007 /tmp/kept) | {tool} repo-put {path}"
    assert not process([*inside, f"{keep}; {spoil}"])[0]
    try:
        found = proof(backups)
    finally:
        assert not process([*inside, f"{tool} repo-put {path} < /tmp/kept; rm /tmp/kept"])[0]
    assert not found.ok
    assert [it.split("/")[0] for it in found.problems] == [f"repository 2: {label}"]
    assert "invalid checksum" in found.problems[0]


@contextmanager
def without_trust(cluster: Stored) -> Iterator[None]:
    shutil.copy(CAS, cluster.trusted)
    try:
        yield
    finally:
        cluster.trust()


def test_a_store_that_is_not_trusted_is_named_and_the_first_place_gets_its_own(
    cluster: Stored, backups: Backups
) -> None:
    before = len(backups.repository.info().of(1))
    with without_trust(cluster), pytest.raises(SlipwayError, match="does not trust") as told:
        backups.take(DIFFERENTIAL, print)
    assert "/usr/local/share/ca-certificates" in told.value.remedy
    info = backups.repository.info()
    assert (len(info.of(1)), len(info.of(2))) == (before + 1, 1)
    assert "slipway_backup_last_ok 0" in (cluster.folder / "h2/state/metrics/backup.prom").read_text()
    backups.take(DIFFERENTIAL, print)
    assert len(backups.repository.info().of(2)) == 2


def test_a_store_that_is_away_keeps_wal_until_it_is_back(cluster: Stored, backups: Backups) -> None:
    docker("stop", cluster.store.container)
    try:
        segment = cluster.sql("SELECT pg_walfile_name(pg_logical_emit_message(true, 'test', 'away'))")
    finally:
        docker("start", cluster.store.container)
    cluster.archived()
    archive = backups.repository.info().of(2)[0].archive
    for number in (1, 2):
        assert segment in backups.repository.segments(archive, number)


def test_all_comes_back_from_the_store_where_the_first_place_is_empty(
    cluster: Stored, backups: Backups
) -> None:
    """Last: the first place begins anew."""
    cluster.sql("DELETE FROM orders WHERE id % 2 = 0", "shop")
    left = cluster.sql("SELECT count(*), min(id), max(id) FROM orders", "shop")
    moment = datetime.fromisoformat(cluster.sql("SELECT clock_timestamp()")).astimezone(UTC)
    cluster.sql("DROP TABLE orders", "shop")
    cluster.archived()
    docker("exec", cluster.repository, "find", "/var/lib/pgbackrest", "-mindepth", "1", "-delete")

    network = f"container:{cluster.container('host', 1)}"
    host = RestoreHost(process, cluster.container("postgres", 1), cluster.stack.name, network)
    with pytest.raises(SlipwayError, match="holds no backup"):
        planned(backups.repository, moment.isoformat(), datetime.now(UTC))
    plan = planned(backups.repository, moment.isoformat(), datetime.now(UTC), source=2)
    assert plan.repository == 2
    params = {"id": "second", "stack": cluster.stack.name, "plan": asdict(plan)}
    for step in ("restored", "stopped", "swapped"):
        STEPS[step](host, params)
    cluster.until_led()
    assert cluster.sql("SELECT count(*), min(id), max(id) FROM orders", "shop") == left

    # As after the loss of the backup host: both go on.
    backups.take(FULL, print)
    cluster.sql("INSERT INTO orders VALUES (77)", "shop")
    cluster.archived()
    info = backups.repository.info()
    assert len(info.of(1)) == 1 and len(info.of(2)) == 3
    found = prove(backups.repository, [], volume_options=in_memory(999), margin=0)
    assert found.ok, found.problems
