"""Time a backup beside pg_basebackup and tar, and a restore beside cp, all of the same files in turns.

A member of PostgreSQL under Patroni, etcd and a repository, as they are rendered for two hosts, run on this
engine with volumes on its disk, production's limits and pgBackRest's own settings. Each run takes every
measurement once. Each is begun after a `sync` and ended by one, so that what was written is on the disk. What
it reads was read once just before, so that each finds it in the page cache, and how much of it was there is
told. Nothing is evicted: the cache is the machine's, and others live on it.

All of it is removed at the end, also after Ctrl-C; what a killed run left is removed by the next. Needs root,
the images that `make up` builds, about ten times --size of disk, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_errors import LockedError
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_info import FULL, Backup
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_repository import only_one
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_scratch import scratch
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_work import Backups, process
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.restore_work import planned
from ansible_collections.slipway.compose.plugins.module_utils._core.topology import PORTS
from backup_cluster import LIMIT, Cluster, declared, docker
from backup_figures import Row, markdown, verdict
from images import newest
from undisturbed import end_as_by_ctrl_c, undisturbed

NAME = "slipway-benchmark-backups"
# Not that of the tests, which may run meanwhile.
SUBNET = "10.98.80"
HIGHEST_LOAD = 3.0
# Of everything a run has on the disk at once, in sizes of the data, beside one for each run's backup.
COPIES = 6
PROCESSES = 2
DAY = 86_400
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
            time.sleep(0.5)


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

    def __init__(self, cluster: Cluster, wal: int) -> None:
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
        self._fill("orders", megabytes, say=say)
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
        self._fill("later", self._wal)
        self._cluster.sql("DROP TABLE later", "shop")
        ended = f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{begun}')::bigint"
        written = int(self._cluster.sql(ended))
        # What the table had is off the disk before anybody copies.
        self._checkpoint()
        self._cluster.archived()
        return written

    def _fill(self, table: str, megabytes: int, say: Callable[[str], object] = lambda _line: None) -> None:
        # A vacuum would change files while they are measured.
        self._cluster.sql(f"CREATE TABLE {table} ({COLUMNS}) WITH (autovacuum_enabled = off)", "shop")
        filled, told = 0, 0
        while filled < megabytes:
            filled = int(self._cluster.sql(FILL.format(table=table), "shop"))
            if filled - told >= megabytes / 10:
                say(f"filled {filled} of {megabytes} MB")
                told = filled

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


def main() -> int:
    arguments = _arguments()
    load = os.getloadavg()[0]
    if reason := _refusal(arguments, load):
        return _error(reason)
    end_as_by_ctrl_c()
    try:
        with only_one(Path(tempfile.gettempdir()) / f"{NAME}.lock"), started() as cluster:
            benchmark = Benchmark(cluster, arguments.wal)
            benchmark.prepare(arguments.size)
            for number in range(1, arguments.runs + 1):
                say(f"run {number} of {arguments.runs}, load average {os.getloadavg()[0]:.1f}")
                benchmark.run()
    except LockedError:
        return _error("another one is at work on this machine. Wait until it has ended.")
    except (AssertionError, SlipwayError, pytest.fail.Exception) as error:
        return _error(str(error))
    except KeyboardInterrupt as interruption:
        print(f"benchmark-backups: interrupted ({interruption}); everything is removed", file=sys.stderr)
        return 130
    _report(benchmark, load)
    return 0


@contextmanager
def started() -> Iterator[Cluster]:
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


def _refusal(arguments: argparse.Namespace, load: float) -> str:
    if os.geteuid():
        return "it writes files that belong to others. Run it as root."
    if load >= HIGHEST_LOAD and not arguments.any_load:
        return f"the load average is {load:.1f}. Wait until it is below {HIGHEST_LOAD:.0f}, or --any-load."
    free = shutil.disk_usage(docker("info", "--format", "{{.DockerRootDir}}").strip()).free >> 20
    needed = (COPIES + arguments.runs) * (arguments.size + arguments.wal)
    if free < needed:
        return (
            f"it needs about {needed} MB of the engine's disk, {free} MB are free. Choose a smaller --size."
        )
    return ""


def _error(reason: str) -> int:
    print(f"benchmark-backups: error: {reason}", file=sys.stderr)
    return 1


def _report(benchmark: Benchmark, load: float) -> None:
    copy = benchmark.rows[COPIED]
    rows, recoveries = list(benchmark.rows.values()), list(benchmark.recoveries.values())
    print(f"\n{markdown(rows, recoveries, copy, benchmark.data)}\n")
    for restore in (BESIDE, PROVEN):
        print(f"{verdict(benchmark.rows[restore], copy)}.")
    if benchmark.left_out:
        print(f"Not measured: {benchmark.left_out}.")
    print(
        f"""{benchmark.data >> 20} MB in {benchmark.files} files without WAL. Load average {load:.1f} before,
{os.getloadavg()[0]:.1f} afterwards. What was to be read was in the page cache: {_cached(benchmark)}.
All that was written is on the disk when the clock stops (`sync`). PostgreSQL runs meanwhile, and nobody
asks it. Each time holds one `docker exec`; recovery, which is looked at every 0.3 s, holds some."""
    )


def _cached(benchmark: Benchmark) -> str:
    if not benchmark.cached:
        return "unknown, there is no `fincore` on this machine"
    least = min(benchmark.cached)
    return "all of it" if least == 100 else f"{least} % or more of it"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="scripts/benchmark-backups",
    )
    parser.add_argument("--size", type=int, default=1024, help="MB of rows in the database (1024)")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--wal", type=int, default=64, help="MB of rows after each backup, to replay (64)")
    parser.add_argument(
        "--any-load", action="store_true", help="measure on a busy machine; not for publishing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
