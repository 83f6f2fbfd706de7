"""A container to restore into that nobody else sees: no network, a volume of its own, gone afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import SlipwayError
from ..run import Run
from .backup_errors import FULL_DISK, explain
from .synced import synced_once

HOME = "/var/lib/postgresql"
DATA = f"{HOME}/proof"
# Who owns what, and who may see it, is the affair of where a dump goes to.
WITHOUT = tuple(
    f"--no-{what}"
    for what in ("owner", "privileges", "comments", "large-objects", "publications", "subscriptions")
)
# The programs of whatever version was restored: a repository may hold backups of two.
_OWN = ("sh", "-c", f'PATH=/usr/lib/postgresql/$(cat {DATA}/PG_VERSION)/bin:$PATH; exec "$@"', "sh")
# Not on the volume: where that is full, the log would be the first to suffer.
_LOG = "/tmp/postgres.log"
_FIRST = re.compile(r"^.*\b(?:FATAL|PANIC):  (.*)$", re.MULTILINE)
# What whoever asks whether it is up gets meanwhile; it explains nothing.
_ASKED = re.compile(
    r"^.*(?:FATAL: .*(?:starting up|not yet accepting)|(?:DETAIL|HINT): .*Hot standby).*\n", re.M
)
# What PostgreSQL took from production's configuration and must not have here.
_OPTIONS = (
    "listen_addresses=''",
    "unix_socket_directories=/run/postgresql",
    "ssl=off",
    "archive_mode=off",
    f"hba_file={DATA}/pg_hba.conf",
    f"ident_file={DATA}/pg_ident.conf",
    "shared_buffers=64MB",
    "synchronous_standby_names=''",
    # It answers once recovery has ended, and whatever limits the primary had.
    "hot_standby=off",
)


class Scratch:
    """The container's inside. Every failure is raised with what it means."""

    def __init__(self, run: Run, name: str, stanza: str) -> None:
        self._run = run
        self.name = name
        self._stanza = stanza

    def free(self) -> int:
        """Bytes that the volume has left."""
        out = self._checked("the volume cannot be measured", "df", "--output=avail", "-B1", HOME)
        return int(out.split()[-1])

    def restore(self, *arguments: str) -> None:
        # Nothing that happens here may reach the archive that it is a proof of.
        told = ["--config=/config/proof.conf", f"--stanza={self._stanza}", "--archive-mode=off"]
        command = ["pgbackrest", *told, *arguments, "restore"]
        self._checked("the restore failed", *synced_once(command, DATA))

    def start(self, seconds: int) -> None:
        """Replay WAL and answer; SlipwayError says why PostgreSQL would not."""
        options = " ".join(f"-c {option}" for option in _OPTIONS)
        control, until = (*_OWN, "pg_ctl", "-D", DATA), time.monotonic() + seconds
        self._inside(*control, "--no-wait", "-l", _LOG, "-o", options, "start")
        while self._inside("psql", "-XAtqc", "SELECT 1")[0]:
            ended = self._inside(*control, "status")[0]
            if ended or time.monotonic() > until:
                raise recovery_error(self._inside("tail", "--bytes=200000", _LOG)[1])
            time.sleep(0.3)  # between two looks

    def ask(self, query: str, database: str = "postgres") -> str:
        psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"]
        code, out, err = self._run(["docker", "exec", "-i", self.name, *psql], stdin=query)
        if code:
            told = re.findall(r"ERROR:  (.*)", err) or err.strip().splitlines() or [str(code)]
            raise SlipwayError(f"the copy says: {told[0]}", "Correct the query, or the data it asks")
        return out.strip()

    def schema(self, database: str, *without: str) -> str:
        """As a dump of it has it. without: schemas that are left out."""
        tool = ["pg_dump", "--schema-only", *WITHOUT, *(f"--exclude-schema={one}" for one in without)]
        return self._checked("the schema cannot be read", *tool, database)

    def damage(self) -> list[str]:
        """What `pg_amcheck` says of all tables and indexes."""
        check = [*_OWN, "pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--jobs=2"]
        code, out, err = self._inside(*check)
        lines = [line.strip() for line in f"{out}\n{err}".splitlines() if line.strip()]
        return (lines or [f"pg_amcheck ended with {code}"]) if code else []

    def _inside(self, *argv: str) -> tuple[int, str, str]:
        return self._run(["docker", "exec", self.name, *argv])

    def _checked(self, what: str, *argv: str) -> str:
        code, out, err = self._inside(*argv)
        if code:
            raise explain(what, code, f"{out}\n{err}")
        return out


def recovery_error(log: str) -> SlipwayError:
    """Why a restored copy does not start, from the end of its log."""
    log = _ASKED.sub("", log)
    if re.search(FULL_DISK, log):
        return explain("the recovery failed", 0, log)
    fatal = _FIRST.findall(log)
    words = fatal[0] if fatal else (log.strip().splitlines() or ["it said nothing"])[-1]
    if re.search(
        r"WAL ends before|could not locate (?:a valid|required) checkpoint|recovery ended before", log
    ):
        return SlipwayError(
            f"WAL that the backup needs is missing: {words}", "Take a new backup: playbooks/backup.yml"
        )
    return SlipwayError(
        f"the restored copy does not start: {words}", "Read its log, and try an older backup: -e set=<label>"
    )


@contextmanager
def scratch(
    run: Run, source: str, stanza: str, volume_options: Sequence[str] = (), purpose: str = "proof"
) -> Iterator[Scratch]:
    """A container with what the container `source` sees, read only, and with its limits.

    volume_options: for `docker volume create`. purpose: there is one at a time for each.
    """
    name = f"{source}-{purpose}"
    _remove(run, name)
    try:
        _do(run, ["docker", "volume", "create", *volume_options, name])
        facts = "{{.Image}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}"
        image, memory, cpus = _do(run, ["docker", "inspect", "--format", facts, source]).split()
        guard = ["--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        own = ["--user=999:999", "--tmpfs=/tmp:uid=999,gid=999,mode=0700", "--pids-limit=256"]
        own += ["--tmpfs=/run/postgresql:uid=999,gid=999,mode=0755"]
        limits = [f"--memory={memory}", "--cpus=" + str(int(cpus) / 1e9)] if int(cpus) else []
        mounts = [f"--volumes-from={source}:ro", f"--volume={name}:{HOME}"]
        start = ["docker", "run", "--detach", "--init", "--pull=never", f"--name={name}"]
        _do(run, [*start, *guard, *own, *limits, *mounts, image, "sleep", "infinity"])
        yield Scratch(run, name, stanza)
    finally:
        _remove(run, name)


def _remove(run: Run, name: str) -> None:
    run(["docker", "rm", "--force", name])
    run(["docker", "volume", "rm", "--force", name])


def _do(run: Run, argv: Sequence[str]) -> str:
    code, out, err = run(argv)
    if code:
        said = err.strip().splitlines()[-1:] or [str(code)]
        raise SlipwayError(
            f"`{' '.join(argv[:2])}` failed: {said[0]}",
            "Check that Docker runs here and that the stack is deployed: `docker ps`",
        )
    return out
