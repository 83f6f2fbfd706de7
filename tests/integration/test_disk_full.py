"""A primary whose disk is really full gives the leadership to a member that can write, and comes back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_cluster import Cluster, declared, docker
from images import newest
from side_by_side import own_subnet

SUBNET = own_subnet(92)
SCRIPT = Path(__file__).resolve().parents[2] / "compose/config/postgres/can-write.sh"
LIMIT = 120


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(declared(2, subnet=SUBNET), tmp_path_factory.mktemp("full")) as made:
        yield made


@pytest.mark.parametrize(("size", "expected"), [("8m", 143), ("64m", 0)], ids=["full", "room"])
def test_a_member_says_whether_it_can_write_and_leaves_nothing_behind(size: str, expected: int) -> None:
    place = f"--tmpfs=/var/lib/postgresql:uid=999,gid=999,size={size}"
    # In a shell of its own: where it says no, it ends whoever asked.
    command = "bash -c 'bash /can-write.sh; exit 0'; said=$?; ls /var/lib/postgresql; exit $said"
    argv = ["docker", "run", "--rm", "--network=none", place, f"--volume={SCRIPT}:/can-write.sh:ro"]
    done = subprocess.run(
        [*argv, newest("postgres"), "bash", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (expected, ""), done.stderr
    assert ("No space left" in done.stderr) == bool(expected)


def test_a_primary_with_a_full_disk_is_followed_by_one_with_room(cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE kept (id int)")
    cluster.sql("INSERT INTO kept SELECT generate_series(1, 1000)")
    full = cluster.leader()
    container = cluster.container("postgres", full)
    # Nothing but a file takes the room: the volume is of a size of its own.
    filled = "dd if=/dev/zero of=/var/lib/postgresql/filled bs=1M 2>&1 | grep 'No space left'"
    docker("exec", container, "bash", "-c", filled)
    write = "CREATE TABLE more AS SELECT repeat('x', 90) FROM generate_series(1, 400000)"
    docker("exec", container, "psql", "-U", "postgres", "-XAtqc", write, check=False)
    limit = time.monotonic() + LIMIT
    while cluster.leader() in (0, full):
        assert time.monotonic() < limit, cluster.logs()
        time.sleep(0.5)  # between two looks
    assert cluster.sql("SELECT count(*) FROM kept") == "1000"
    cluster.sql("INSERT INTO kept VALUES (1001)")
    docker(
        "run", "--rm", f"--volumes-from={container}", newest("postgres"), "rm", "/var/lib/postgresql/filled"
    )
    # As its engine does, where it restarts what ends.
    docker("start", container)
    cluster.until_led()
    assert cluster.sql("SELECT count(*) FROM kept", host=full) == "1001"
