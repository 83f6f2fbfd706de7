"""What is measured on a cluster: each way to take a backup and to bring one back, of the same files."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL, Backup
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_scratch import scratch
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import Backups
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import planned
from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import PORTS
from backup_benchmark_cluster import DATA, PROCESSES, TARGET, OnDisk, inside, say
from backup_cluster import docker
from backup_figures import Row
from images import newest

DAY = 86_400
BACKUP = "`pgbackrest backup --type=full`: zstd, encrypted, over TLS"
STREAMED = "`pg_basebackup`: plain, over TLS"
PACKED = f"`pg_basebackup --format=tar --compress=server-zstd:level=3,workers={PROCESSES}`, over TLS"
ZIPPED = f"`tar | zstd -3 -T{PROCESSES}`, on the member's host"
COPIED = "`cp -a`, on the member's host"
BESIDE = "`pgbackrest restore` beside the member, over TLS"
PROVEN = "`pgbackrest restore` of a proof, on the repository's host"
REPLAYED = "recovery beside the member, until it answers"
PROVEN_REPLAYED = "recovery of the proof, until it answers"

BASEBACKUP = f"pg_basebackup --pgdata={TARGET}/copy --checkpoint=fast --no-password"
# What pgBackRest leaves out, too; a server that runs changes some of the rest, and tar says so.
TAR = "tar --create --exclude=./pg_wal/* --exclude=./postmaster.pid ."
FILES = f"find {DATA} -mindepth 1 -maxdepth 1 ! -name pg_wal ! -name postmaster.pid"
SCRIPTS = {
    STREAMED: BASEBACKUP,
    PACKED: f"{BASEBACKUP} --format=tar --compress=server-zstd:level=3,workers={PROCESSES}",
    ZIPPED: f"cd {DATA}; {{ {TAR} || [ $? = 1 ]; }} | zstd -q -3 -T{PROCESSES} > {TARGET}/copy.tar.zst",
    # A file system that shares blocks would copy nothing.
    COPIED: f"mkdir {TARGET}/copy; {FILES} -exec cp -a --reflink=never -t {TARGET}/copy {{}} +",
}


class Watched:
    """Runs what the product runs; of a backup or restore it knows how long pgBackRest took, with a `sync`."""

    seconds = ended = 0.0

    def __call__(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if "pgbackrest" not in argv or not {"backup", "restore"} & set(argv):
            return process(argv, stdin)
        os.sync()
        begun = time.monotonic()
        answer = process(argv, stdin)
        os.sync()
        self.ended = time.monotonic()
        self.seconds = self.ended - begun
        return answer


class Benchmark:
    """A filled cluster with a repository, and what was measured on it."""

    def __init__(self, cluster: OnDisk, wal: int) -> None:
        """wal: MB to write after each backup, for recovery to replay."""
        self._cluster = cluster
        self._wal = wal
        self._watched = Watched()
        repository_host = cluster.folder / f"h{len(cluster.stack.hosts)}"
        (repository_host / "state").mkdir()
        self._backups = Backups(repository_host, self._watched, cluster.repository)
        self._tools = cluster.container("tools", len(cluster.stack.hosts))
        self._count = ""
        self.rows = {what: Row(what) for what in (BACKUP, *SCRIPTS, BESIDE, PROVEN)}
        self.recoveries = {what: Row(what) for what in (REPLAYED, PROVEN_REPLAYED)}
        self.left_out = ""
        self.data = 0
        self.files = 0
        self.cached: list[int] = []

    def prepare(self, megabytes: int) -> None:
        self._backups.ready()
        self._cluster.sql("CREATE DATABASE shop")
        self._cluster.fill("orders", megabytes, say=say)
        self._count = self._cluster.sql("SELECT count(*) FROM orders", "shop")
        self._checkpoint()
        self._cluster.archived()
        self._open_tools()
        self.data = self._bytes(DATA, "--exclude=pg_wal")
        self.files = int(
            inside(
                self._tools, "sh", "-ec", f"find {DATA} -path {DATA}/pg_wal -prune -o -type f -print | wc -l"
            )
        )
        say(f"the data directory has {self.data >> 20} MB in {self.files} files, without WAL")

    def run(self) -> None:
        """Every measurement once."""
        self._warm_member()
        self._backups.take(FULL, say)
        backup = self._backups.repository.info().of(1)[-1]
        self._note(self.rows[BACKUP], self._watched.seconds, backup.stored)
        written = self._write_wal()
        for what, script in SCRIPTS.items():
            if what in self.rows:
                self._empty()
                self._warm_member()
                self._note(self.rows[what], self._timed(script), self._bytes(TARGET))
        self._empty()
        self._restore_beside(written)
        self._restore_as_a_proof(backup, written)

    def _restore_beside(self, written: int) -> None:
        """As playbooks/restore.yml does with `side=true`."""
        member, network = (self._cluster.container(it) for it in ("postgres", "host"))
        host = RestoreHost(self._watched, member, self._cluster.stack.name, f"container:{network}")
        plan = planned(self._backups.repository, "latest", datetime.now(UTC))
        host.free()
        self._warm_backup(plan.backup)
        host.restore(plan.arguments, DAY)
        recovery = time.monotonic() - self._watched.ended
        self._note(self.rows[BESIDE], self._watched.seconds, plan.bytes)
        self._note(self.recoveries[REPLAYED], recovery, written)
        ask = ("psql", "-h", "/tmp", "-XAtq", "-d", "shop", "-c", "SELECT count(*) FROM orders")
        self._is_whole(inside(host.beside, *ask).strip())
        host.discard()

    def _restore_as_a_proof(self, backup: Backup, written: int) -> None:
        """As playbooks/verify_backups.yml and its timer do."""
        repository = self._backups.repository
        with scratch(self._watched, repository.container, repository.stanza) as place:
            self._warm_backup(backup.label)
            place.restore(f"--repo={backup.repository}", f"--set={backup.label}")
            self._note(self.rows[PROVEN], self._watched.seconds, backup.size)
            begun = time.monotonic()
            place.start(DAY)
            self._note(self.recoveries[PROVEN_REPLAYED], time.monotonic() - begun, written)
            self._is_whole(place.ask("SELECT count(*) FROM orders", "shop"))

    def _warm_member(self) -> None:
        self._warm("postgres", 1, "17/main")

    def _warm_backup(self, label: str) -> None:
        hosts = len(self._cluster.stack.hosts)
        self._warm("backup-repository", hosts, f"backup/{self._cluster.stack.name}/{label}")

    def _warm(self, volume: str, host: int, folder: str) -> None:
        """Read the files once, and note how many percent of them are in the page cache then."""
        name = self._cluster.volume(volume, host)
        root = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", name).strip()) / folder
        # A file that PostgreSQL has removed meanwhile is no failure.
        files = "find . -type f ! -path './pg_wal/*' -print0 | xargs -0"
        subprocess.run(
            ["sh", "-c", f"{files} cat > /dev/null"], cwd=root, stderr=subprocess.DEVNULL, check=False
        )
        ask = f"{files} fincore --raw --bytes --noheadings --output RES,SIZE"
        told = subprocess.run(["sh", "-c", ask], cwd=root, capture_output=True, text=True, check=False).stdout
        sizes = [tuple(map(int, line.split())) for line in told.splitlines()]
        if sizes:
            held, size = (sum(column) for column in zip(*sizes, strict=True))
            # Pages are counted whole.
            self.cached.append(min(100 * held // size, 100))

    def _is_whole(self, count: str) -> None:
        assert count == self._count, f"{count} rows were restored of {self._count}"

    def _note(self, row: Row, seconds: float, written: int) -> None:
        row.seconds.append(seconds)
        row.written = written
        say(f"{seconds:7.1f} s  {row.what.replace('`', '')}")

    def _timed(self, script: str) -> float:
        os.sync()
        begun = time.monotonic()
        inside(self._tools, "bash", "-euo", "pipefail", "-c", script)
        os.sync()
        return time.monotonic() - begun

    def _empty(self) -> None:
        inside(self._tools, "find", TARGET, "-mindepth", "1", "-delete")

    def _write_wal(self) -> int:
        """WAL that the newest backup does not have, all of it in the archive; its bytes."""
        begun = self._cluster.sql("SELECT pg_current_wal_insert_lsn()")
        self._cluster.fill("later", self._wal)
        self._cluster.sql("DROP TABLE later", "shop")
        ended = f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{begun}')::bigint"
        written = int(self._cluster.sql(ended))
        # What the table had is off the disk before anybody copies.
        self._checkpoint()
        self._cluster.archived()
        return written

    def _checkpoint(self) -> None:
        inside(self._cluster.container("postgres"), "psql", "-XAtqc", "CHECKPOINT")

    def _open_tools(self) -> None:
        """A container on the repository's host, without limits: what anybody would use in its place."""
        hosts = len(self._cluster.stack.hosts)
        place = [f"--network=container:{self._cluster.container('host', hosts)}", f"--name={self._tools}"]
        # /config/tls with it.
        mounts = [f"--volumes-from={self._cluster.repository}:ro"]
        mounts += [f"--volume={self._cluster.volume('postgres', 1)}:/member:ro"]
        mounts += [f"--volume={self._cluster.volume('target', hosts)}:{TARGET}"]
        if zstd := shutil.which("zstd"):
            # No image has it.
            mounts += [f"--volume={os.path.realpath(zstd)}:/usr/local/bin/zstd:ro"]
        address, port = self._cluster.stack.hosts[0].address, PORTS["postgres"]
        settings = {
            "PGHOST": address,
            "PGPORT": port,
            "PGUSER": "replicator",
            "PGPASSFILE": "/tmp/pgpass",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": "/config/tls/ca.crt",
        }
        environment = [f"--env={name}={value}" for name, value in settings.items()]
        docker(
            *("run", "--detach", "--init", *place, *mounts, *environment),
            *(newest("postgres"), "sleep", "infinity"),
        )
        entry = f"{address}:{port}:*:replicator:{self._cluster.secrets['postgres_replication']}\n"
        inside(self._tools, "sh", "-ec", "umask 077; cat > /tmp/pgpass", stdin=entry)
        if process(["docker", "exec", self._tools, "zstd", "--version"])[0]:
            del self.rows[ZIPPED]
            self.left_out = "tar | zstd: this machine has no zstd that runs in the image, which has none"
            say(f"not measured: {self.left_out}")

    def _bytes(self, path: str, *options: str) -> int:
        return int(inside(self._tools, "du", "--summarize", "--bytes", *options, path).split()[0])
