"""Backups of a real cluster: WAL and backups arrive, and a proof finds what can be wrong with them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import (
    DIFFERENTIAL,
    FULL,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_proof import prove
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_report import Verification
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
    Settings,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from backup_cluster import Cluster, declared, docker, in_memory, run

pytestmark = pytest.mark.by_hand
KEPT = "/var/lib/pgbackrest"
ROWS = 5_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(2), tmp_path_factory.mktemp("backups")) as made:
        made.sql("CREATE DATABASE shop")
        made.sql(f"CREATE TABLE orders AS SELECT generate_series(1, {ROWS}) AS id", "shop")
        yield made


@pytest.fixture(scope="module")
def settings(cluster: Cluster) -> Settings:
    return cluster.settings()


@pytest.fixture(scope="module")
def repository(cluster: Cluster) -> Repository:
    """With a full and a differential backup, and WAL that was written after both."""
    made = cluster.opened()
    made.take(FULL, 1)
    cluster.sql("UPDATE orders SET id = -id WHERE id <= 10", "shop")
    made.take(DIFFERENTIAL, 1)
    cluster.sql("INSERT INTO orders VALUES (1000001)", "shop")
    cluster.archived()
    return made


def proof(repository: Repository, assertions: list[dict[str, str]], size: str = "1g") -> Verification:
    options = in_memory(999, size)
    return prove(repository, assertions, volume_options=options, margin=0)


@contextmanager
def spoiled(cluster: Cluster, script: str) -> Iterator[None]:
    """The repository after a shell script went over it, in its folder; as it was afterwards."""
    inside = ("docker", "exec", "-i", cluster.repository, "sh", "-e")
    subprocess.run(inside, input=f"cp -a {KEPT} /tmp/kept; cd {KEPT}; {script}", text=True, check=True)
    try:
        yield
    finally:
        # WAL that has arrived meanwhile stays.
        mend = f"cp -a /tmp/kept/. {KEPT}/; rm -rf /tmp/kept"
        subprocess.run(inside, input=mend, text=True, check=True)


def test_both_kinds_of_backup_are_there_and_were_read_from_the_replica(repository: Repository) -> None:
    info = repository.info()
    assert [backup.kind for backup in info.of(1)] == [FULL, DIFFERENTIAL]
    assert not any(backup.damaged for backup in info.backups)
    assert info.percent is None
    # A manifest names the member whose files were read.
    manifest = ("repo-get", f"backup/wayfare/{info.backups[0].label}/backup.manifest")
    assert "option-backup-standby=true" in repository.checked("no manifest", *manifest)


def test_a_stanza_that_is_there_is_left_alone(repository: Repository, settings: Settings) -> None:
    assert repository.ensure(settings.members) == ""
    repository.check()


def test_the_repository_is_encrypted(cluster: Cluster, repository: Repository) -> None:
    label = repository.info().backups[0].label
    header = ("head", "--bytes=8", f"{KEPT}/backup/wayfare/{label}/backup.manifest")
    assert docker("exec", cluster.repository, *header) == "Salted__"


def test_no_other_host_may_read_it(cluster: Cluster, repository: Repository) -> None:
    """A certificate of the same authority, of a host that is no member: the repository's own."""
    ask = [
        "pgbackrest",
        "--config=/dev/null",
        "--stanza=wayfare",
        "--repo1-host=127.0.0.1",
    ]
    ask += ["--repo1-host-type=tls", "--repo1-host-port=8432", "--repo1-host-config=/config/pgbackrest.conf"]
    ask += [
        f"--repo1-host-{kind}-file=/config/tls/{name}"
        for kind, name in (("ca", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key"))
    ]
    code, out, err = run(["docker", "exec", cluster.repository, *ask, "repo-ls"])
    assert code, out
    assert "access" in f"{out}{err}".lower() or "authoriz" in f"{out}{err}".lower(), out + err


def test_a_proof_restores_all_that_was_committed(repository: Repository) -> None:
    query = f"SELECT (count(*), min(id), max(id)) = ({ROWS + 1}, -10, 1000001) FROM orders"
    found = proof(repository, [{"name": "orders", "database": "shop", "sql": query}])
    assert found.ok, found.problems
    assert found.backup == repository.info().backups[-1].label
    assert [check.name for check in found.checks] == [
        "repository 1", "wal", "space", "restore", "recovery", "pages", "assertion orders",
    ]  # fmt: skip
    assert found.rto and 0 < found.rto < 120
    assert found.rpo is not None and 0 <= found.rpo < 600
    assert "-proof" not in docker("ps", "--all", "--format", "{{.Names}}")
    assert "-proof" not in docker("volume", "ls", "--quiet")


def test_an_assertion_that_is_not_true_fails_the_proof(repository: Repository) -> None:
    asked = [
        {"name": "empty", "database": "shop", "sql": "SELECT count(*) = 0 FROM orders"},
        {"name": "broken", "database": "shop", "sql": "SELECT no_such_column FROM orders"},
    ]
    found = proof(repository, asked)
    assert not found.ok
    assert "assertion empty: answered f" in found.problems[0]
    assert "no_such_column" in found.problems[1]


def test_a_damaged_file_is_named(cluster: Cluster, repository: Repository) -> None:
    label = repository.info().backups[0].label
    with spoiled(
        cluster, f"printf damage | dd of=backup/wayfare/{label}/bundle/1 bs=1 seek=9000 conv=notrunc"
    ):
        found = proof(repository, [])
    assert not found.ok
    named = found.problems[0]
    assert named.startswith(f"repository 1: {label}/") and "invalid checksum" in named


def test_a_missing_segment_is_named(cluster: Cluster, repository: Repository) -> None:
    segment = repository.info().backups[-1].wal_stop
    with spoiled(cluster, f"rm archive/wayfare/17-1/*/{segment}-*"):
        found = proof(repository, [])
    assert not found.ok
    assert any(problem.startswith("wal: ") and segment in problem for problem in found.problems)
    assert any(problem.startswith("recovery: ") for problem in found.problems)


def test_wal_that_is_missing_after_the_backup_is_no_silent_loss(
    cluster: Cluster, repository: Repository
) -> None:
    """PostgreSQL takes the hole for the end of the archive and starts as if all was well."""
    cluster.sql("INSERT INTO orders VALUES (1000002)", "shop")
    cluster.archived()
    for _again in range(3):
        cluster.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 100))")
        cluster.archived()
    last = repository.info().backups[-1]
    hole = next(it for it in repository.segments(last.archive, 1) if it > last.wal_stop)
    with spoiled(cluster, f"rm archive/wayfare/17-1/*/{hole}-*"):
        found = proof(repository, [])
    assert not found.ok
    assert any(problem.startswith("wal: ") and hole in problem for problem in found.problems)
    assert any("what is between is lost" in problem for problem in found.problems)


def test_a_wrong_key_is_named(cluster: Cluster, repository: Repository) -> None:
    right = cluster.secrets["backup_cipher"]
    cluster.secrets["backup_cipher"] = "not-the-key-it-was-made-with"
    cluster.render()
    try:
        found = proof(repository, [])
        with pytest.raises(SlipwayError, match="platform/backup_cipher"):
            repository.take(DIFFERENTIAL, 1)
    finally:
        cluster.secrets["backup_cipher"] = right
        cluster.render()
    assert not found.ok
    assert "platform/backup_cipher" in found.problems[0]


@pytest.mark.parametrize("size", ["16m", "46m"])
def test_a_full_disk_is_named(repository: Repository, size: str) -> None:
    found = proof(repository, [], size)
    assert not found.ok
    assert any("the disk is full" in problem for problem in found.problems), found.problems
