"""A backup, or a copy that is restored, is killed half-way: the next ends well, and nothing is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_errors import LockedError
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_proof import prove
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import Backups
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import STEPS, planned
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from backup_cluster import Cluster, declared, docker, in_memory
from interrupted import begun, end, found, going_on
from side_by_side import own_subnet

pytestmark = pytest.mark.by_hand
LIMIT = 120
ROWS = 100_000
# 100 MB that do not compress: time enough to be stopped in their midst.
FILLED = f"""CREATE TABLE orders AS SELECT id,
    (SELECT string_agg(uuid_send(gen_random_uuid()), '') FROM generate_series(1, 64) WHERE id > 0) AS bytes
    FROM generate_series(1, {ROWS}) AS id"""
HALF = 8 << 20
KEPT, FRESH = "/var/lib/pgbackrest/backup/wayfare", "/var/lib/postgresql/17/restored"
BACKUP, RESTORE = f"--type={FULL}", f"--pg1-path={FRESH}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(2, own_subnet(85)), tmp_path_factory.mktemp("killed"), size="2g") as made:
        made.sql("CREATE DATABASE shop")
        made.sql(FILLED, "shop")
        yield made


@pytest.fixture(scope="module")
def backups(cluster: Cluster) -> Backups:
    """With a backup, which must not suffer."""
    root = cluster.folder / "h3"
    (root / "state").mkdir()
    made = Backups(root, process, cluster.repository)
    made.take(FULL, print)
    assert metric(root) == "1"
    return made


@pytest.fixture
def host(cluster: Cluster) -> Iterator[RestoreHost]:
    place = f"container:{cluster.container('host', 1)}"
    made = RestoreHost(process, cluster.container("postgres", 1), cluster.stack.name, place)
    yield made
    made.close()


def metric(root: Path) -> str:
    told = (root / "state/metrics/backup.prom").read_text()
    return next(line for line in told.splitlines() if line.startswith("slipway_backup_last_ok")).split()[1]


def until(question: Callable[[], bool], cluster: Cluster) -> None:
    limit = time.monotonic() + LIMIT
    while not question():
        assert time.monotonic() < limit, docker("logs", "--tail=20", cluster.repository, check=False)
        time.sleep(0.2)  # between two looks


def at_work(cluster: Cluster, backups: Backups) -> list[int]:
    """The pgBackRest of a backup that has written some of its files, stopped."""
    before = set(folders(cluster))

    def written() -> bool:
        new = [f"{KEPT}/{it}" for it in folders(cluster) if it not in before]
        return bool(new) and size(cluster.repository, *new) > HALF

    pids = found(cluster.repository, BACKUP, written)
    assert set(folders(cluster)) > {it.label for it in backups.repository.info().backups}, "it has ended"
    return pids


def folders(cluster: Cluster) -> list[str]:
    return docker("exec", cluster.repository, "sh", "-c", f"cd {KEPT}; ls -d *F* 2>/dev/null || :").split()


def size(container: str, *paths: str) -> int:
    """0 where it is not there (any longer)."""
    told = docker("exec", container, "du", "-scb", *paths, check=False).splitlines()[-1:]
    return int(told[0].split()[0]) if told and told[0].endswith("total") else 0


def nothing_is_left(cluster: Cluster, backups: Backups) -> None:
    """The next one ends well; it is sound, and of the one that was killed there is no trace."""
    # Its workers end the file that they are at; until then the lock is theirs.
    until(lambda: backups.progress() is None, cluster)
    last = backups.take(FULL, print)
    info = backups.repository.info()
    assert last.ok and metric(cluster.folder / "h3") == "1"
    assert info.percent is None
    assert folders(cluster) == [it.label for it in info.of(1)]
    assertion = {"name": "orders", "database": "shop", "sql": f"SELECT count(*) = {ROWS} FROM orders"}
    proof = prove(backups.repository, [assertion], volume_options=in_memory(999), margin=0)
    assert proof.ok, proof.problems
    assert proof.backup == info.backups[-1].label
    session = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest%'"
    until(lambda: [cluster.sql(session, host=it) for it in (1, 2)] == ["0", "0"], cluster)
    # As `keep_days` does it, which are none here.
    backups.repository.checked("not expired", "expire", "--repo=1", "--repo1-retention-full-type=count",
                               "--repo1-retention-full=1")  # fmt: skip


def test_after_a_backup_whose_pgbackrest_is_killed_the_next_one_ends_well(
    cluster: Cluster, backups: Backups, background
) -> None:
    thread, outcome = background(lambda: backups.take(FULL, print))
    end(at_work(cluster, backups))
    thread.join(LIMIT)
    assert isinstance(outcome[0], SlipwayError) and "was killed" in outcome[0].problem, outcome
    assert metric(cluster.folder / "h3") == "0"
    told = json.loads((cluster.folder / "h3/state/backups/last.json").read_text())
    assert not told["ok"] and "was killed" in told["reason"]
    nothing_is_left(cluster, backups)


@pytest.mark.parametrize(
    ("component", "number"),
    [
        pytest.param("backup-repository", 3, id="the-repository"),
        pytest.param("backup-agent", 1, id="the-leaders-agent"),
        pytest.param("backup-agent", 2, id="the-replicas-agent"),
    ],
)
def test_after_a_backup_whose_container_is_killed_the_next_one_ends_well(
    cluster: Cluster, backups: Backups, background, component: str, number: int
) -> None:
    container = cluster.container(component, number)
    thread, outcome = background(lambda: backups.take(FULL, print))
    pids = at_work(cluster, backups)
    docker("kill", container)
    going_on(pids)
    thread.join(LIMIT)
    docker("start", container)
    assert isinstance(outcome[0], SlipwayError), outcome
    assert metric(cluster.folder / "h3") == "0"
    nothing_is_left(cluster, backups)


def test_a_backup_whose_program_is_killed_ends_by_itself_and_keeps_others_off_until_then(
    cluster: Cluster, backups: Backups
) -> None:
    program = begun(lambda: backups.take(FULL, print))
    pids = at_work(cluster, backups)
    program.kill()
    program.join()
    assert backups.progress() is not None
    with pytest.raises(LockedError, match="another backup is at work"):
        backups.take(FULL, print)
    # That another one is at work is no failure, and must alarm nobody.
    assert metric(cluster.folder / "h3") == "1"
    before = len(backups.repository.info().backups)
    going_on(pids)
    until(lambda: backups.progress() is None, cluster)
    assert len(backups.repository.info().backups) == before + 1
    nothing_is_left(cluster, backups)


def side(backups: Backups, host: RestoreHost) -> dict[str, object]:
    plan = planned(backups.repository, "latest", datetime.now(UTC))
    return STEPS["restored"](host, {"id": "side", "plan": asdict(plan)})


def halfway(host: RestoreHost) -> list[int]:
    return found(host.beside, RESTORE, lambda: size(host.beside, FRESH) > HALF)


def serves(cluster: Cluster) -> None:
    assert [cluster.sql("SELECT count(*) FROM orders", "shop", it) for it in (1, 2)] == [str(ROWS)] * 2


def ends_well_again(cluster: Cluster, backups: Backups, host: RestoreHost) -> None:
    side(backups, host)
    ask = ["psql", "-h", "/tmp", "-U", "postgres", "-XAtqd", "shop", "-c", "SELECT count(*) FROM orders"]
    assert docker("exec", host.beside, *ask).strip() == str(ROWS)
    STEPS["given_up"](host, {"id": "side", "first": False})
    nothing_of_it(cluster, host)
    serves(cluster)


def nothing_of_it(cluster: Cluster, host: RestoreHost) -> None:
    assert host.beside not in docker("ps", "--all", "--format", "{{.Names}}").split()
    assert size(cluster.container("postgres", 1), FRESH) == 0


def test_a_copy_whose_restore_is_killed_leaves_nothing_and_the_next_one_ends_well(
    cluster: Cluster, backups: Backups, host: RestoreHost, background
) -> None:
    thread, outcome = background(lambda: side(backups, host))
    pids = halfway(host)
    serves(cluster)
    end(pids)
    thread.join(LIMIT)
    assert isinstance(outcome[0], SlipwayError) and "was killed" in outcome[0].problem, outcome
    serves(cluster)
    nothing_of_it(cluster, host)
    ends_well_again(cluster, backups, host)


@pytest.mark.parametrize("what", ["program", "container"])
def test_a_copy_whose_surroundings_are_killed_is_made_anew(
    cluster: Cluster, backups: Backups, host: RestoreHost, what: str
) -> None:
    program = begun(lambda: side(backups, host))
    pids = halfway(host)
    if what == "container":
        # As when the engine goes: what the program would clear up, nobody does.
        program.kill()
        docker("kill", host.beside)
    program.kill()
    program.join()
    going_on(pids)
    serves(cluster)
    ends_well_again(cluster, backups, host)
