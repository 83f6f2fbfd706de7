"""A cluster that is gone with all its hosts begins again as what its backup holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup import rebuild
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import process as run
from backup_cluster import VOLUMES, Cluster, declared, docker

ROWS = 1_234
# All that the members' hosts hold; the repository's host is another.
OF_MEMBERS = ("postgres", "backup-agent", "etcd")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(2), tmp_path_factory.mktemp("rebuild")) as made:
        yield made


@pytest.fixture(scope="module")
def repository(cluster: Cluster) -> Repository:
    made = cluster.opened()
    cluster.sql("CREATE DATABASE shop")
    cluster.sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id", "shop")
    made.take(FULL, 1)
    return made


def lose_every_member(cluster: Cluster) -> None:
    for host in (1, 2):
        for component in OF_MEMBERS:
            docker("rm", "--force", cluster.container(component, host), check=False)
        held = [f"/held/{volume}" for volume in VOLUMES if volume != "backup-repository"]
        holder = cluster.container("host", host)
        docker("exec", "--user=0", holder, "find", *held, "-mindepth", "1", "-delete")


def test_a_lost_cluster_begins_as_its_backup_and_goes_on_archiving(
    cluster: Cluster, repository: Repository
) -> None:
    cluster.sql(f"INSERT INTO orders SELECT generate_series(1001, {ROWS})", "shop")
    cluster.archived()
    before = cluster.sql("SELECT system_identifier FROM pg_control_system()")
    lose_every_member(cluster)
    cluster.bootstrap = rebuild.bootstrap(cluster.stack.name, {"to": "latest"}, 1, datetime.now(UTC))
    cluster.render()
    for component in ("etcd", "postgres", "backup-agent"):
        for host in (1, 2):
            cluster.run(component, host)
    cluster.until_led()
    assert cluster.sql("SELECT count(*), max(id) FROM orders", "shop") == f"{ROWS}|{ROWS}"
    assert cluster.sql("SELECT system_identifier FROM pg_control_system()") == before
    # One of them restored, the other cloned it.
    told = [rebuild.reached(run, cluster.container("postgres", host)) for host in (1, 2)]
    assert len([it for it in told if it]) == 1, told
    # The stanza is the same: WAL goes on into it, and the next backup is one of the line before.
    cluster.archived()
    repository.take(FULL, 1)
    assert len(repository.info().of(1)) == 2


def test_a_host_with_a_cluster_is_no_place_for_a_rebuild(cluster: Cluster, tmp_path: Path) -> None:
    stack = f"{cluster.name}-bare"
    volume = f"{stack}_etcd"
    rebuild.make_sure_it_is_bare(run, stack, tmp_path)
    docker("volume", "create", volume)
    try:
        with pytest.raises(rebuild.SlipwayError, match=f"holds a cluster already .volume {volume}."):
            rebuild.make_sure_it_is_bare(run, stack, tmp_path)
        # What a broken-off rebuild has left may be gone on with.
        (tmp_path / rebuild.UNDER_WAY).parent.mkdir(parents=True)
        (tmp_path / rebuild.UNDER_WAY).touch()
        rebuild.make_sure_it_is_bare(run, stack, tmp_path)
    finally:
        docker("volume", "rm", volume)
