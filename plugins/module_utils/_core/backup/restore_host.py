"""A restore on one host of PostgreSQL's: beside what runs, then in its place."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SlipwayError
from ..host_job import Say
from ..postgresql.member import leads
from ..postgresql.postgres import Psql
from ..run import Run
from ..stack.postgres_version import HOME, Place
from .backup_errors import explain
from .backup_scratch import recovery_error
from .synced import synced_once

CONFIG = "/backup/pgbackrest.conf"
# Where a stack has a second site.
SITE = "/config/site.py"
_LOG = "/tmp/restore.log"
# Nobody reaches it but through this container. WAL of its new timeline is kept and not yet archived: a
# restore that is given up must leave no timeline that a later one would follow.
_OPTIONS = (
    "listen_addresses=''",
    "unix_socket_directories=/tmp",
    "ssl=off",
    "archive_command=''",
    "shared_buffers=64MB",
    "synchronous_standby_names=''",
    "hot_standby=off",
)
_REPLAYED = re.compile(r'restored log file "(\w+)" from archive')
_STATE = """SELECT coalesce(to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC',
    'YYYY-MM-DD HH24:MI:SS.US'), ''), pg_last_wal_replay_lsn(),
    (SELECT timeline_id FROM pg_control_checkpoint());"""


@dataclass(frozen=True)
class Restored:
    """What a restored copy ends with. newest: UTC time of its last transaction; "": none since the backup."""

    newest: str
    lsn: str
    seconds: float


class RestoreHost:
    """One member's container and volume, and a container beside it that sees the same."""

    def __init__(
        self,
        run: Run,
        container: str,
        stanza: str,
        network: str,
        patroni: Mapping[str, Any] | None = None,
        *,
        place: Place | None = None,
    ) -> None:
        """network: from where the repository can be reached. patroni: its API here, to ask who leads.

        place: of the stack's version; None: the oldest there is.
        """
        self._run = run
        self._patroni = patroni
        self._container = container
        self._stanza = stanza
        self._network = network
        self._place = place or Place()
        self.fresh = f"{self._place.folder}/restored"
        self.beside = f"{container}-restore"

    def free(self) -> int:
        """Bytes that the volume has left; what a broken-off restore left behind is removed first."""
        self.open()
        self._beside("rm", "-rf", self.fresh)
        return int(self._beside("df", "--output=avail", "-B1", HOME).split()[-1])

    def open(self) -> None:
        """The container beside the member, as the member is but for its network and command."""
        self.close()
        facts = "{{.Image}} {{.HostConfig.Memory}} {{.HostConfig.ShmSize}}"
        image, memory, shared = self._do(["docker", "inspect", "--format", facts, self._container]).split()
        guard = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=256"]
        own = ["--user=999:999", "--tmpfs=/tmp:uid=999,gid=999,mode=0700", f"--memory={memory}"]
        place = [f"--network={self._network}", f"--volumes-from={self._container}", f"--shm-size={shared}"]
        start = ["docker", "run", "--detach", "--init", "--pull=never", f"--name={self.beside}"]
        known = [f"--env={name}={value}" for name, value in self._place.environment.items()]
        self._do([*start, *guard, *own, *place, *known, image, "sleep", "infinity"])

    def discard(self) -> None:
        """Give the copy up."""
        self.open()
        self._beside("rm", "-rf", self.fresh)
        self.close()

    def close(self) -> None:
        self._run(["docker", "rm", "--force", self.beside])

    def restore(self, arguments: Sequence[str], seconds: int, say: Say = lambda _line: None) -> Restored:
        """Restore beside the member's data and replay to the target; the copy answers in its container.

        What the member holds and serves is not touched.
        """
        begun = time.monotonic()
        command = ["pgbackrest", f"--config={CONFIG}", f"--stanza={self._stanza}", f"--pg1-path={self.fresh}"]
        code, out, err = self._inside(*synced_once([*command, *arguments, "restore"], self.fresh))
        if code:
            raise explain("the restore failed", code, f"{out}\n{err}")
        say(f"the files are there after {time.monotonic() - begun:.0f} s; PostgreSQL replays WAL")
        control = ("pg_ctl", "-D", self.fresh)
        options = " ".join(f"-c {option}" for option in (*_OPTIONS, *self._own_rules()))
        until = time.monotonic() + seconds
        self._inside(*control, "--no-wait", "-l", _LOG, "-o", options, "start")
        while self._inside("psql", "-h", "/tmp", "-XAtqc", "SELECT 1")[0]:
            ended = self._inside(*control, "status")[0]
            if ended or time.monotonic() > until:
                raise _not_reached(self._inside("tail", "--bytes=200000", _LOG)[1])
            time.sleep(0.3)  # between two looks
        newest, lsn, _line = self._beside("psql", "-h", "/tmp", "-XAtqc", _STATE).strip().split("|")
        return Restored(newest, lsn, round(time.monotonic() - begun, 1))

    def progress(self, size: int) -> str:
        """How far `restore` is, in words. size: bytes that the files will have."""
        asked = f"tail --bytes=200000 {_LOG} 2> /dev/null || du --summarize --bytes {self.fresh}"
        told = self._beside("sh", "-ec", asked)
        if replayed := _REPLAYED.findall(told):
            return f"replayed {replayed[-1]}"
        copied = re.match(r"(\d+)\t", told)
        return f"{min(100 * int(copied[1]) // max(size, 1), 100)} %" if copied else ""

    def settle(self) -> None:
        """Stop the copy cleanly: from here on it can be started as a primary."""
        self._beside("psql", "-h", "/tmp", "-XAtqc", "CHECKPOINT")
        self._beside("pg_ctl", "-D", self.fresh, "-w", "-t", "600", "-m", "fast", "stop")

    def stop_member(self) -> None:
        """A clean stop: Patroni hands over, PostgreSQL writes and archives what it has."""
        self._do(["docker", "stop", "--time", "120", self._container])

    def start_member(self) -> None:
        self._do(["docker", "start", self._container])

    def until_leader(self, seconds: float) -> None:
        """Wait until the cluster has a leader again, here or elsewhere."""
        leads(Psql(self._run, self._container), seconds, self._patroni)

    def kept(self, name: str) -> str:
        """Where `swap` keeps the member's data."""
        return f"{self._place.folder}/before-{name}"

    def swap(self, kept: str) -> str:
        """Put the copy in the place of the member's data, which stays under another name; that name."""
        old, data = self.kept(kept), self._place.data
        script = f"[ ! -d {data} ] || mv {data} {old}; mv {self.fresh} {data}"
        self._beside("sh", "-ec", script)
        return old

    def swap_back(self, kept: str) -> None:
        """As it was before `swap`, whether that came to its end or not."""
        old, data, fresh = self.kept(kept), self._place.data, self.fresh
        back = f"rm -rf {fresh}; [ ! -d {data} ] || mv {data} {fresh}; mv {old} {data}"
        self.open()  # the container beside may be what failed
        self._beside("sh", "-ec", f"[ ! -d {old} ] || {{ {back}; }}")

    def is_swapped(self, kept: str) -> bool:
        """Whether what `swap` has put aside is still there, so that the copy stands in its place."""
        self.open()
        return self._beside("sh", "-ec", f"[ ! -d {self.kept(kept)} ] || echo yes").strip() == "yes"

    def empty(self) -> None:
        """Forget a replica's data: it is cloned anew from the restored leader."""
        self.open()
        self._beside("rm", "-rf", self._place.data)
        self.close()

    def remember_promotion(self) -> None:
        """Keep in the volume what orders two sites: it stands in the settings that etcd is to forget."""
        keep = f"[ ! -e {SITE} ] || exec python3 {SITE} keep"
        told = ["docker", "exec", "--env=PATRONICTL_CONFIG_FILE=/config/patroni.yml", self.beside]
        self._do([*told, "sh", "-c", keep])

    def forget_cluster(self, scope: str) -> None:
        """Remove from etcd what Patroni knows of the cluster; every member must have been stopped."""
        until = time.monotonic() + 60
        answers = f"{scope}\nYes I am aware\n"
        ask = [
            "docker",
            "exec",
            "-i",
            self.beside,
            "patronictl",
            "-c",
            "/config/patroni.yml",
            "remove",
            scope,
        ]
        while True:
            code, out, err = self._run(ask, stdin=answers)
            if not code or "No cluster" in out + err:
                return
            # The leader's key lives on for up to `ttl` seconds.
            if time.monotonic() > until:
                told = (out + err).strip().splitlines()[-1:]
                raise SlipwayError(
                    f"Patroni does not forget the cluster: {told[0] if told else code}",
                    "See that etcd is healthy and that every member is stopped: docs/runbooks/etcd.md",
                )
            time.sleep(2)  # between two attempts

    def _own_rules(self) -> tuple[str, str]:
        return (f"hba_file={self.fresh}/pg_hba.conf", f"ident_file={self.fresh}/pg_ident.conf")

    def _inside(self, *argv: str) -> tuple[int, str, str]:
        return self._run(["docker", "exec", self.beside, *argv])

    def _beside(self, *argv: str) -> str:
        return self._do(["docker", "exec", self.beside, *argv])

    def _do(self, argv: Sequence[str]) -> str:
        code, out, err = self._run(argv)
        if code:
            told = err.strip().splitlines()[-1:] or [str(code)]
            what = f"`{' '.join(argv[:2])} … {argv[-1][:60]}`"
            raise SlipwayError(f"{what} failed: {told[0]}", "See docs/runbooks/backups.md")
        return out


def _not_reached(log: str) -> SlipwayError:
    if re.search(r"recovery ended before configured recovery target was reached", log):
        return SlipwayError(
            "the WAL that the repository has ends before the moment to return to",
            "Choose an earlier one, or latest; for a point that is older than the backup: -e set=<label>",
        )
    return recovery_error(log)
