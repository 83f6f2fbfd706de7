"""A real cluster returned to the second before a table was dropped, and back again; copies beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup import restore_work
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import (
    STEPS,
    mark,
    planned,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.drill import drill_table
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.member import patience
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process as run
from backup_cluster import Cluster, declared, docker

pytestmark = pytest.mark.by_hand
ROWS = 12_345
DAY = 86_400


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(2), tmp_path_factory.mktemp("restore")) as made:
        yield made


@pytest.fixture(scope="module")
def repository(cluster: Cluster) -> Repository:
    made = cluster.opened()
    cluster.sql("CREATE DATABASE shop")
    made.take(FULL, 1)
    return made


@pytest.fixture
def host(cluster: Cluster) -> Iterator[RestoreHost]:
    made = RestoreHost(
        run,
        cluster.container("postgres", 1),
        cluster.stack.name,
        f"container:{cluster.container('host', 1)}",
    )
    yield made
    made.close()


def now(cluster: Cluster) -> datetime:
    return datetime.fromisoformat(cluster.sql("SELECT clock_timestamp()")).astimezone(UTC)


def count(host: RestoreHost) -> str:
    ask = ["psql", "-h", "/tmp", "-U", "postgres", "-XAtq", "-d", "shop", "-c", "SELECT count(*) FROM orders"]
    return docker("exec", host.beside, *ask).strip()


def test_a_dropped_table_comes_back_whole_and_so_does_what_was_given_up_for_it(
    cluster: Cluster, repository: Repository, host: RestoreHost
) -> None:
    cluster.sql(f"CREATE TABLE orders AS SELECT generate_series(1, {ROWS}) AS id", "shop")
    before = now(cluster)
    cluster.sql("DROP TABLE orders", "shop")
    cluster.sql("CREATE TABLE written_since (id int)", "shop")
    member = Psql(run, cluster.container("postgres", cluster.leader()))
    point, line = mark(member, "drill", patience(60))
    system = cluster.sql("SELECT system_identifier FROM pg_control_system()")

    # Beside what serves, which goes on.
    plan = planned(repository, before.isoformat(), datetime.now(UTC))
    assert host.free() > plan.needed
    found = host.restore(plan.arguments, DAY)
    assert count(host) == str(ROWS)
    assert datetime.fromisoformat(f"{found.newest}+00:00") <= before
    assert cluster.sql("SELECT count(*) FROM written_since", "shop") == "0"

    # In its place.
    returned(cluster, host, "drill")
    assert cluster.sql("SELECT count(*), min(id), max(id) FROM orders", "shop") == f"{ROWS}|1|{ROWS}"
    assert cluster.sql("SELECT to_regclass('written_since')", "shop") == ""
    assert cluster.sql("SELECT system_identifier FROM pg_control_system()") == system
    assert "before-drill" in docker("exec", cluster.container("postgres", 1), "ls", "/var/lib/postgresql/17")
    # The replica is a copy of it, and both are archived and backed up as before.
    assert cluster.sql("SELECT count(*) FROM orders", "shop", host=2) == str(ROWS)
    cluster.archived()
    repository.take("diff", 1)

    # And back: the moment of the restore point, on the timeline that was left.
    again = planned(repository, f"point:{point}", datetime.now(UTC), line=line, label=plan.backup)
    host.free()
    host.restore(again.arguments, DAY)
    returned(cluster, host, "back")
    assert cluster.sql("SELECT to_regclass('orders')", "shop") == ""
    assert cluster.sql("SELECT count(*) FROM written_since", "shop") == "0"
    # The backup of the timeline that was left again is no beginning any more, until there is a newer one.
    assert planned(repository, "latest", datetime.now(UTC)).backup == plan.backup
    repository.take("diff", 1)
    assert planned(repository, "latest", datetime.now(UTC)).backup == repository.info().backups[-1].label


def test_a_table_of_a_drill_comes_back_with_every_row(
    cluster: Cluster, repository: Repository, host: RestoreHost
) -> None:
    leader = Psql(run, cluster.container("postgres", cluster.leader()))
    dropped = drill_table.drop(leader)
    assert cluster.sql(f"SELECT to_regclass('{drill_table.TABLE}')") == ""
    mark(leader, "table", patience(60))
    plan = planned(repository, dropped.moment, datetime.now(UTC))
    host.free()
    host.restore(plan.arguments, DAY)
    copy = ["psql", "-h", "/tmp", "-U", "postgres", "-XAtqc"]
    docker("exec", host.beside, *copy, f"DELETE FROM {drill_table.TABLE} WHERE n = 4711")
    with pytest.raises(SlipwayError, match="rows and digest 100000 .* came back with 99999 "):
        drill_table.take_back(run, leader, host.beside, dropped.content)
    host.free()
    host.restore(plan.arguments, DAY)
    drill_table.take_back(run, leader, host.beside, dropped.content)
    assert cluster.sql(f"SELECT to_regclass('{drill_table.TABLE}')") == "", "it is cleared up"
    host.discard()


def returned(cluster: Cluster, host: RestoreHost, name: str) -> None:
    other = RestoreHost(
        run, cluster.container("postgres", 2), "wayfare", f"container:{cluster.container('host', 2)}"
    )
    params = {"id": name, "stack": cluster.stack.name}
    for member in (other, host):
        STEPS["stopped"](member, params)
    STEPS["swapped"](host, params)
    STEPS["joined"](other, params)
    cluster.until_led()


def test_a_copy_that_does_not_start_leaves_its_place_to_what_served(
    cluster: Cluster, repository: Repository, host: RestoreHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_work, "_LEADS", 20)
    cluster.sql("CREATE TABLE served (id int)", "shop")
    plan = planned(repository, "latest", datetime.now(UTC))
    host.free()
    host.restore(plan.arguments, DAY)
    docker("exec", host.beside, "sh", "-ec", f"echo no_such_setting=1 >> {host.fresh}/postgresql.auto.conf")
    other = RestoreHost(
        run, cluster.container("postgres", 2), "wayfare", f"container:{cluster.container('host', 2)}"
    )
    params = {"id": "broken", "stack": cluster.stack.name, "first": True}
    for member in (other, host):
        STEPS["stopped"](member, params)
    with pytest.raises(SlipwayError):
        STEPS["swapped"](host, params)
    STEPS["given_up"](host, params)
    STEPS["given_up"](other, params | {"first": False})
    cluster.until_led()
    assert cluster.sql("SELECT count(*) FROM served", "shop") == "0"
    held = docker("exec", cluster.container("postgres", 1), "ls", "/var/lib/postgresql/17").split()
    assert not {"restored", "before-broken"} & set(held)


def test_a_moment_that_the_archive_has_not_reached_is_refused_and_nothing_is_touched(
    cluster: Cluster, repository: Repository, host: RestoreHost
) -> None:
    cluster.sql("CREATE TABLE IF NOT EXISTS steady (id int)", "shop")
    cluster.archived()
    plan = planned(repository, "point:never_made", datetime.now(UTC))
    host.free()
    with pytest.raises(SlipwayError, match="ends before the moment"):
        host.restore(plan.arguments, DAY)
    host.discard()
    assert cluster.sql("SELECT count(*) FROM steady", "shop") == "0"
    held = docker("exec", cluster.container("postgres", 1), "ls", "/var/lib/postgresql/17")
    assert "restored" not in held.split()


def test_a_hole_in_the_wal_is_found_before_anything_is_restored(
    cluster: Cluster, repository: Repository
) -> None:
    for _again in range(3):
        cluster.sql("SELECT pg_logical_emit_message(true, 'test', 'x')")
        cluster.archived()
    backup = repository.info().backups[-1]
    segments = [it for it in repository.segments(backup.archive, 1) if it > backup.wal_stop]
    moment = now(cluster).isoformat()
    hole = segments[-2]
    docker("exec", cluster.repository, "sh", "-ec", f"rm /var/lib/pgbackrest/archive/wayfare/17-1/*/{hole}-*")
    with pytest.raises(SlipwayError, match=hole):
        planned(repository, "latest", datetime.now(UTC))
    with pytest.raises(SlipwayError, match=hole):
        planned(repository, moment, datetime.now(UTC))
    assert planned(repository, backup.label, datetime.now(UTC)).backup == backup.label
