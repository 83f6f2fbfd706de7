"""A restore of the whole cluster that is killed: the data are whole, and the same again ends well."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_proof import prove
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import (
    Repository,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import _OPTIONS
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import STEPS
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.member import leads
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from backup_cluster import Cluster, declared, docker, in_memory
from images import newest
from interrupted import At, begun, found, killed_at
from side_by_side import own_subnet
from whole_restore import Restore

pytestmark = pytest.mark.by_hand
CHECKOUT = Path(__file__).resolve().parents[2]
PLACE = "/var/lib/postgresql/17"
# What the moment had, and what is left of it.
ROWS, KEPT = 12_345, 10
ORDER = ["marked", "restored", "marked", "stopped", "stopped", "swapped", "joined"]


def at(*words: str, host: int = 1) -> At:
    """A command with these words about a host's member."""
    return lambda command: f"-h{host}-postgres" in command and all(word in command for word in words)


# Where what served has another name already, but the copy not yet its own.
TORN = "mv /var/lib/postgresql/17/restored"


# Where the run ends: a name, the command before which, and the word in it before which.
BEFORE = {
    "while-nothing-has-stopped": (at("docker stop", host=2), ""),
    "while-only-the-follower-has-stopped": (at("docker stop"), ""),
    "while-all-have-stopped": (at("CHECKPOINT"), ""),
    "between-the-two-renames": (at(TORN), TORN),
    "while-etcd-knows-of-what-served": (at("patronictl"), ""),
    "while-nobody-leads": (at("docker start"), ""),
}
AFTER = {
    "while-the-copy-begins-to-lead": (at("pg_is_in_recovery"), ""),
    "while-a-replica-has-no-data": (at("docker start", host=2), ""),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(2, own_subnet(83)), tmp_path_factory.mktemp("interrupted"), size="2g") as made:
        yield made


@pytest.fixture(scope="module")
def repository(cluster: Cluster) -> Repository:
    made = cluster.opened()
    cluster.sql("CREATE DATABASE shop")
    made.take(FULL, 1)
    return made


@pytest.fixture
def restore(cluster: Cluster, repository: Repository) -> Iterator[Restore]:
    """With rows at a moment, of which most are gone since; the host of the restore leads."""
    made = Restore(cluster, repository)
    assert cluster.leader() == 1
    cluster.sql("DROP TABLE IF EXISTS orders", "shop")
    cluster.sql(f"CREATE TABLE orders AS SELECT generate_series(1, {ROWS}) AS id", "shop")
    made.moment = datetime.fromisoformat(cluster.sql("SELECT clock_timestamp()")).astimezone(UTC).isoformat()
    cluster.sql(f"DELETE FROM orders WHERE id > {KEPT}", "shop")
    yield made
    made.host(1).close()
    # As the runbook has it.
    docker("exec", cluster.container("postgres", 1), "sh", "-c", f"rm -rf {PLACE}/before-*")


def rows(cluster: Cluster, host: int = 0) -> str:
    return cluster.sql("SELECT count(*), min(id), max(id) FROM orders", "shop", host)


def held(cluster: Cluster) -> list[str]:
    """The folders of data on the host of the restore, also while nothing runs there."""
    holder = cluster.container("host", 1)
    listed = docker("exec", holder, "sh", "-c", "cd /held/postgres/17; ls -d */PG_VERSION").split()
    return sorted(path.split("/")[0] for path in listed)


def content(cluster: Cluster, folder: str) -> str:
    """Rows of a folder of data, which nobody serves."""
    options = " ".join(f"-c {it}" for it in (*_OPTIONS, f"hba_file={PLACE}/{folder}/pg_hba.conf"))
    options += f" -c ident_file={PLACE}/{folder}/pg_ident.conf"
    control = f"/usr/lib/postgresql/17/bin/pg_ctl -s -D {PLACE}/{folder} -w -t 100 -l /tmp/log"
    ask = "psql -h /tmp -U postgres -XAtqd shop -c 'SELECT count(*) FROM orders'"
    script = f'{control} -o "{options}" start || {{ cat /tmp/log; exit 1; }}; {ask}; {control} -m fast stop'
    member = cluster.container("postgres", 1)
    place = [
        "--rm",
        "--init",
        "--network=none",
        "--user=999:999",
        f"--volumes-from={member}",
        "--shm-size=64m",
    ]
    return docker("run", *place, newest("postgres"), "sh", "-ec", script).strip()


def ends_well_again(restore: Restore, name: str) -> None:
    restore.to(restore.moment, name)
    whole = f"{ROWS}|1|{ROWS}"
    assert [rows(restore.cluster, host) for host in (1, 2)] == [whole, whole]
    names = docker("ps", "--all", "--format", "{{.Names}}").split()
    assert restore.host(1).beside not in names
    assert "restored" not in held(restore.cluster)


def test_the_order_of_the_playbook_is_the_one_that_is_tried() -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/restore/tasks/whole.yml").read_text())
    flat = [it for task in tasks for it in task.get("block", [task])]
    module = "slipway.compose.restore"
    assert [it[module]["state"] for it in flat if module in it] == ORDER


@pytest.mark.parametrize("place", BEFORE)
def test_before_the_copy_serves_what_served_is_whole_and_the_same_again_ends_well(
    restore: Restore, place: str
) -> None:
    where, torn = BEFORE[place]
    killed_at(lambda run: restore.to(restore.moment, "killed", run), where, torn=torn)
    moved = place in list(BEFORE)[3:]
    assert ("before-killed" in held(restore.cluster)) == moved
    assert ("main" in held(restore.cluster)) == (not torn)
    ends_well_again(restore, "again")
    # The first that was put aside is what served; a later one may be the copy of the killed run.
    kept = "before-killed" if moved else "before-again"
    assert kept in held(restore.cluster)
    assert content(restore.cluster, kept) == str(KEPT)


@pytest.mark.parametrize("place", AFTER)
def test_once_the_copy_leads_the_same_again_ends_well(restore: Restore, place: str) -> None:
    where, torn = AFTER[place]
    killed_at(lambda run: restore.to(restore.moment, "killed", run), where, torn=torn)
    assert "before-killed" in held(restore.cluster)
    assert rows(restore.cluster) == f"{ROWS}|1|{ROWS}"
    restore.leads_on_a_line_of_its_own()
    ends_well_again(restore, "again")
    assert content(restore.cluster, "before-killed") == str(KEPT)


def test_a_replica_that_is_killed_while_it_is_cloned_is_cloned_by_the_same_again(restore: Restore) -> None:
    replica = restore.cluster.container("postgres", 2)
    program = begun(lambda: restore.to(restore.moment, "killed"))
    assert found(replica, "pg_basebackup")
    docker("kill", replica)
    program.kill()
    program.join()
    assert rows(restore.cluster) == f"{ROWS}|1|{ROWS}"
    ends_well_again(restore, "again")


def followed(after: str, member: str) -> str:
    """What the commands that follow these words of the runbook say on the host of the restore."""
    text = (CHECKOUT / "docs/runbooks/backups.md").read_text()
    block = re.search(r"(?:^    .*\n|^\n)+", text[text.index(after) + len(after) :], re.M)
    assert block
    script = block[0].replace("<id>", "killed").replace("wayfare-postgres-1", member)
    # The same hosts' containers; the repository's is the third one.
    script = script.replace(
        "wayfare-backup-repository-1", member.replace("h1-postgres", "h3-backup-repository")
    )
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout


def archived_since(restore: Restore) -> list[int]:
    """Timelines that the archive has and what served before has not, as the runbook asks for them."""
    own = followed("ask on which timeline that was, on the host of the restore,", restore.member).strip()
    assert own.isdigit(), own
    listed = followed("on the backup host (eight hexadecimal digits each):", restore.member)
    return [number for it in listed.split() if (number := int(it.split(".")[0], 16)) > int(own)]


@pytest.mark.parametrize("place", ["between-the-two-renames", "while-nobody-leads"])
def test_the_way_back_of_the_runbook_brings_back_what_served(restore: Restore, place: str) -> None:
    cluster = restore.cluster
    where, torn = BEFORE[place]
    killed_at(lambda run: restore.to(restore.moment, "killed", run), where, torn=torn)
    members = [cluster.container("postgres", number) for number in (1, 2)]
    assert "before-killed" in followed("what lies there:", members[0]).split()
    assert archived_since(restore) == []
    docker("stop", *members)
    assert followed("then, on the host of the restore,", members[0]) == ""
    docker("start", members[0])
    leads(Psql(process, members[0]), 120, None)
    docker("start", members[1])
    cluster.until_led()
    assert [rows(cluster, number) for number in (1, 2)] == [f"{KEPT}|1|{KEPT}"] * 2
    # `-e side=removed`.
    STEPS["given_up"](restore.host(1), {"id": "removed", "first": False})
    assert held(cluster) == ["main"]
    goes_on(restore)


def goes_on(restore: Restore) -> None:
    """What is written from now on can be returned to, as if there had never been a restore."""
    restore.cluster.sql("INSERT INTO orders VALUES (77)", "shop")
    restore.cluster.archived()
    assertion = {"name": "goes on", "database": "shop", "sql": f"SELECT count(*) = {KEPT + 1} FROM orders"}
    for _before_and_after_a_backup in range(2):
        proof = prove(restore.repository, [assertion], volume_options=in_memory(999), margin=0)
        assert proof.ok, proof.problems
        restore.repository.take("diff", 1)


def test_the_way_back_of_the_runbook_once_the_copy_has_led(restore: Restore) -> None:
    where, torn = AFTER["while-the-copy-begins-to-lead"]
    killed_at(lambda run: restore.to(restore.moment, "killed", run), where, torn=torn)
    assert rows(restore.cluster) == f"{ROWS}|1|{ROWS}"
    restore.leads_on_a_line_of_its_own()
    since = archived_since(restore)
    assert since
    own = followed("ask on which timeline that was, on the host of the restore,", restore.member).strip()
    restore.to("point:slipway_before_killed_again", "back", line=own)
    assert [rows(restore.cluster, number) for number in (1, 2)] == [f"{KEPT}|1|{KEPT}"] * 2
    assert restore.line() > max(since)
    goes_on(restore)
