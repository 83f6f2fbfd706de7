"""An archive on this engine, as it is rendered: a master and a replica of Redis, a repository, a volume."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_restore import (
    Restored,
    restore,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from archive_cluster import ArchiveCluster
from backup_cluster import docker
from images import newest
from side_by_side import own_subnet
from whole_stack import stack, with_archive

SUBNET = own_subnet(80)
NAME = f"archive-try-{os.getpid()}"
PORT = 8434
LIMIT = 120


class Kept(ArchiveCluster):
    """Redis on h1 leads, on h2 it follows; h3 keeps."""

    def start(self) -> None:
        self.lay()
        for component, index in (("redis", 1), ("redis", 2), ("archive-repository", 3)):
            self.run(component, index)
        volume = f"--volume={self.volume('alertmanager', 3)}:/held"
        docker("run", "--detach", "--name", self.silences, volume, newest("redis"), "sleep", "infinity")
        docker("exec", "--user=0", self.silences, "sh", "-c", "echo kept > /held/silences")
        self.until(lambda: "master_link_status:up" in self.redis("INFO replication", host=2))

    @property
    def silences(self) -> str:
        return f"{self.name}-silences"

    def until(self, question) -> None:
        limit = time.monotonic() + LIMIT
        while not question():
            assert time.monotonic() < limit, docker("logs", self.container("redis"), check=False)
            time.sleep(0.3)  # between two looks

    def redis(self, *commands: str, host: int = 1) -> str:
        lines = [f'AUTH slipway "{self.secrets["redis_admin"]}"', *commands]
        cli = ["redis-cli", "--tls", "--cacert", "/config/tls/ca.crt", "-h", "127.0.0.1"]
        told = docker(
            "exec", "-i", self.container("redis", host), *cli, stdin="".join(f"{it}\n" for it in lines),
            check=False,
        )  # fmt: skip
        return told.removeprefix("OK\n").replace("\r", "").strip()

    def restore(self, host: int, what: str, wanted: str) -> Restored:
        return restore(self.archive(host).host, what, wanted)

    def command(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        """As a host of Debian 13 runs it: its restic is the image's."""
        if argv[0] != "restic":
            return process(argv, stdin)
        seen = [f"--volume={path}:{path}" for path in (self.folder, "/var/lib/docker/volumes")]
        run = ["docker", "run", "--rm", "--interactive", "--user=0", f"--network={self.name}", *seen]
        return process([*run, newest("archive-repository"), *argv], stdin)

    def ask(self, request: str, certificate: bool = True) -> str:
        """The first line of what the repository answers."""
        tls = self.folder / "h1/config/host/tls"
        context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        if certificate:
            context.load_cert_chain(tls / "tls.pem")
        address = self.stack.hosts[2].address
        with (
            socket.create_connection((address, PORT), 10) as plain,
            context.wrap_socket(plain, server_hostname=address) as stream,
        ):
            stream.sendall(f"{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n".encode())
            return stream.recv(4096).decode(errors="replace").splitlines()[0]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    base = replace(with_archive(stack(3)), name=NAME)
    hosts = tuple(Host(host.name, f"{SUBNET}.{10 + index}") for index, host in enumerate(base.hosts, 1))
    parts = base.components
    assert parts.redis
    redis = replace(parts.redis, hosts=tuple(host.name for host in hosts[:2]))
    declared = replace(base, hosts=hosts, components=replace(parts, redis=redis))
    folder = tmp_path_factory.mktemp("archive")
    made = Kept(declared, folder, name=NAME, built=("redis", "archive-repository"))
    try:
        made.start()
        yield made
    finally:
        made.remove()
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name=^{NAME}_").split()
        docker("volume", "rm", "--force", *volumes, check=False)


@pytest.fixture(scope="module")
def taken(kept: Kept) -> dict[int, list[str]]:
    """Three keys, in two databases, and what each host said while it archived."""
    kept.redis("SET greeting hello", "SET passing away EX 1000", "SELECT 3", "RPUSH queue one two three")
    kept.until(lambda: "db3" in kept.redis("INFO keyspace", host=2))
    steps: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for host, said in steps.items():
        kept.archive(host).take(said.append)
    kept.archive(3).keep(steps[3].append)
    return steps


def test_each_host_archives_and_the_replica_saves_redis(kept: Kept, taken: dict[int, list[str]]) -> None:
    assert all(said[0].startswith("files: archive ") for said in taken.values())
    assert taken[1][1] == f"redis: it is the turn of {kept.stack.hosts[1].address}"
    assert taken[2][1].startswith("redis: archive ")
    found = kept.archive(3).listed()
    assert {name: len(archives) for name, archives in found.items()} == {
        "host-h1.test": 1, "host-h2.test": 1, "host-h3.test": 1, "redis": 1,
    }  # fmt: skip
    assert found["redis"][0].host == "h2.test"
    told = (kept.folder / "h3/state/metrics/archive.prom").read_text()
    assert 'slipway_archives{of="redis"} 1\n' in told


def test_no_snapshot_stays_in_redis_volume(kept: Kept, taken: dict[int, list[str]]) -> None:
    assert "dump.rdb" not in docker("exec", kept.container("redis", 2), "ls", "/var/lib/redis")


def test_what_is_stored_shows_no_secret(kept: Kept, taken: dict[int, list[str]]) -> None:
    held = kept.container("archive-repository", 3)
    search = ["grep", "--recursive", "--files-with-matches", "-e", "greeting", "-e", "hidden-redis"]
    assert docker("exec", held, *search, "/var/lib/archive", check=False) == ""


def test_a_client_without_a_certificate_is_refused(kept: Kept, taken: dict[int, list[str]]) -> None:
    with pytest.raises(ssl.SSLError, match="certificate required"):
        kept.ask("GET /redis/config", certificate=False)
    assert "200" in kept.ask("GET /redis/config")


def test_nothing_is_deleted_or_changed_from_outside(kept: Kept, taken: dict[int, list[str]]) -> None:
    (archive,) = kept.archive(3).listed()["redis"]
    for request in (f"DELETE /redis/snapshots/{archive.id}", "DELETE /redis/config", "DELETE /redis/"):
        assert kept.ask(request).split()[1] in ("403", "405", "404"), request
    assert "403" in kept.ask(f"POST /redis/snapshots/{archive.id}")
    _code, _out, err = kept.archive(2).host.ask("redis", "forget", archive.id)
    assert "403" in err, err
    assert [it.id for it in kept.archive(3).listed()["redis"]] == [archive.id]


def test_a_host_cannot_open_what_another_archived(kept: Kept, taken: dict[int, list[str]]) -> None:
    own = kept.folder / "h1/config/host/archive"
    code, _out, err = kept.command(
        [
            "restic",
            f"--repo=rest:https://{kept.stack.hosts[2].address}:{PORT}/host-h3.test/",
            f"--password-file={own}/host-h1.test.password",
            f"--cacert={kept.folder}/h1/config/host/tls/ca.crt",
            f"--tls-client-cert={kept.folder}/h1/config/host/tls/tls.pem",
            "--no-cache",
            "snapshots",
        ]
    )
    assert code and "wrong password" in err


def test_keys_that_were_deleted_or_changed_are_back_and_others_stay(
    kept: Kept, taken: dict[int, list[str]]
) -> None:
    kept.redis("SET greeting spoiled", "DEL passing", "SET later stays", "SELECT 3", "DEL queue")
    done = kept.restore(2, "redis", "latest")
    assert done.told.startswith("3 of 3 keys are in Redis again, 0 expired meanwhile"), done.told
    assert kept.redis("GET greeting", "GET later", "GET passing") == "hello\nstays\naway"
    assert 0 < int(kept.redis("TTL passing")) <= 1000
    assert kept.redis("SELECT 3", "LRANGE queue 0 -1").endswith("one\ntwo\nthree")
    kept.until(lambda: kept.redis("GET greeting", host=2) == "hello")
    assert "-restore" not in docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={NAME}")


def test_files_come_back_beside_what_serves(kept: Kept, taken: dict[int, list[str]]) -> None:
    root = kept.folder / "h1"
    done = kept.restore(1, "files", "latest")
    back = root / f"restored-{done.snapshot.short}" / root.relative_to("/")
    for name in (
        "config/host/tls/tls.key",
        "config/redis/redis.conf",
        "releases/one/docker-compose.prod.yml",
    ):
        assert (back / name).read_text() == (root / name).read_text()
        assert (back / name).stat().st_mode == (root / name).stat().st_mode


def test_a_volume_comes_back_and_what_it_held_is_kept(kept: Kept, taken: dict[int, list[str]]) -> None:
    docker("exec", "--user=0", kept.silences, "sh", "-c", "echo lost > /held/silences; touch /held/new")
    done = kept.restore(3, "volume:alertmanager", "latest")
    assert docker("exec", kept.silences, "sh", "-c", "ls /held; cat /held/silences") == "silences\nkept\n"
    before = Path(done.told.rsplit(" ", 1)[-1])
    assert (before / "silences").read_text() == "lost\n"


def test_an_archive_of_nobody_is_refused(kept: Kept, taken: dict[int, list[str]]) -> None:
    with pytest.raises(SlipwayError, match="there is no one archive 'beef'"):
        kept.restore(2, "redis", "beef")


def test_what_is_old_is_deleted_where_it_is_kept(kept: Kept, taken: dict[int, list[str]]) -> None:
    archive = kept.archive(2)
    code, _out, err = archive.host.ask(
        "redis", "backup", "--host=h2.test", "--time=2020-01-01 00:00:00", str(kept.folder / "h2/state")
    )
    assert not code, err
    said: list[str] = []
    kept.archive(3).keep(said.append)
    assert said == ["redis: 1 deleted"]
    assert len(kept.archive(3).listed()["redis"]) == 1
    with closing(archive.host.redis(kept.stack.hosts[0].address)) as redis:
        assert redis.ask("PING") == "PONG"
    assert kept.restore(2, "redis", "latest").told.startswith("3 of 3 keys")


def test_files_are_archived_also_where_redis_does_not_answer(kept: Kept, taken: dict[int, list[str]]) -> None:
    """Last, as it stops the replica."""
    subprocess.run(["docker", "stop", kept.container("redis", 2)], check=True, capture_output=True)
    said: list[str] = []
    with pytest.raises(SlipwayError, match=r"cannot be asked"):
        kept.archive(2).take(said.append)
    assert said[0].startswith("files: archive ")
