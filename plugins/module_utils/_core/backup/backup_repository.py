"""A stack's backup repository, reached with pgBackRest inside its container."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..run import Run
from .backup_errors import LockedError, explain
from .backup_info import UNREADABLE, Info, parse_info
from .backup_wal import Line, history, newest_line, segments
from .backups import NOTHING, Schedule, Server, stanza_step

# WAL that is being received holds a lock for a moment, again and again until there is a stanza.
LOCK_PATIENCE = 60
_FINDING = re.compile(
    r"(?P<what>invalid checksum|file missing|invalid size|invalid result) '(?P<file>[^']+)'"
)


@dataclass(frozen=True)
class Settings:
    """What the repository's configuration says beside pgBackRest's own: `settings.json`."""

    stack: str
    schedule: Schedule
    repositories: tuple[int, ...]
    members: tuple[str, ...]
    assertions: tuple[Mapping[str, str], ...]

    @property
    def container(self) -> str:
        return f"{self.stack}-backup-repository-1"

    @classmethod
    def read(cls, root: Path) -> Settings:
        """Those of the release that is live on this host."""
        path = root / "config/backup-repository/settings.json"
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SlipwayError(
                f"this host keeps no backups of {root.name}: {path} cannot be read",
                "Deploy a stack with components/backup first",
            ) from error

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Settings:
        return cls(
            str(told["stack"]),
            Schedule(str(told["at"]), int(told["every"]), str(told["full_on"])),
            tuple(told["repositories"]),
            tuple(told["members"]),
            tuple(told["assertions"]),
        )


class Repository:
    """The repositories of one stanza, as seen from their host."""

    def __init__(
        self,
        run: Run,
        container: str,
        stanza: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = run
        self.container = container
        self.stanza = stanza
        self._sleep = sleep
        self._clock = clock

    def info(self) -> Info:
        """SlipwayError where no repository can be read."""
        info = parse_info(self.checked("the repository cannot be read", "info", "--output=json"), self.stanza)
        broken = [it for it in info.repositories if it.code == UNREADABLE]
        if broken and len(broken) == len(info.repositories):
            raise explain("the repository cannot be read", 0, broken[0].message)
        return info

    def server(self, members: Sequence[str]) -> Server:
        """What runs now, as any member's Patroni says; `members` are its API's addresses."""
        said = []
        for member in members:
            ask = ["curl", "--silent", "--show-error", "--max-time", "5", "--cacert", "/config/tls/ca.crt"]
            _code, out, err = self.run(["docker", "exec", self.container, *ask, f"{member}/patroni"])
            try:
                told = json.loads(out)
                return Server(str(told["database_system_identifier"]), int(told["server_version"]))
            except (ValueError, KeyError):
                said.append(f"{member}: {err.strip() or 'PostgreSQL does not run'}")
        raise SlipwayError(
            f"no PostgreSQL member can be asked ({'; '.join(said)})",
            "Bring the cluster up first: docs/runbooks/postgres.md",
        )

    def follows(self, members: Sequence[str]) -> bool:
        """Whether this site follows another one, so that nothing is backed up here; unknown: it does not."""
        ask = ["curl", "--silent", "--max-time", "5", "--cacert", "/config/tls/ca.crt"]
        for member in members:
            _code, out, _err = self.run(["docker", "exec", self.container, *ask, f"{member}/config"])
            try:
                return bool(json.loads(out).get("standby_cluster"))
            except (ValueError, AttributeError):
                continue
        return False

    def ensure(self, members: Sequence[str], *, adopt: bool = False) -> str:
        """Make or renew the stanza where it has to be; the pgBackRest command that did it, or ""."""
        step = stanza_step(self.info(), self.server(members), adopt=adopt)
        until = self._clock() + LOCK_PATIENCE
        while step != NOTHING:
            try:
                self.checked("the repository cannot be prepared", step)
                break
            except LockedError:
                if self._clock() >= until:
                    raise
                self._sleep(0.5)
        return step

    def take(self, kind: str, repository: int) -> None:
        """Make one backup, and delete what is older than is to be kept."""
        self.checked("the backup failed", "backup", f"--type={kind}", f"--repo={repository}")

    def check(self) -> None:
        """That WAL which is written now arrives."""
        self.checked("the archive does not work", "check")

    def damage(self, repository: int) -> list[str]:
        """Every file that is not as it was written, one line each. Reads the whole repository.

        pgBackRest ends with 0 whatever it finds, so its words decide.
        """
        arguments = ("verify", "--output=text", "--verbose", "--log-level-console=detail")
        told = self.checked("the repository cannot be verified", *arguments, f"--repo={repository}")
        if "No usable backup.info file" in told and "No usable archive.info file" in told:
            raise explain("the repository cannot be verified", 95, told)
        found = [f"{match['file']}: {match['what']}" for match in _FINDING.finditer(told)]
        if not found and not re.search(r"^status: ok$", told, re.MULTILINE):
            found = [line.strip() for line in told.splitlines() if "status: " in line or "No usable" in line]
        return list(dict.fromkeys(found))

    def segments(self, archive: str, repository: int) -> list[str]:
        """WAL of one database, as `backup_wal` names it. archive: its folder, `17-1` for example."""
        return segments(self.files(archive, repository))

    def files(self, archive: str, repository: int) -> dict[str, float]:
        """The files of one database's archive, and when each arrived: seconds since the epoch."""
        folder = f"archive/{self.stanza}/{archive}"
        arguments = ("repo-ls", "--recurse", "--output=json", f"--repo={repository}", folder)
        told = json.loads(self.checked("the archive cannot be listed", *arguments))
        return {path: float(facts.get("time") or 0) for path, facts in told.items()}

    def line(self, archive: str, repository: int, files: Iterable[str], wanted: int = 0) -> Line:
        """The timeline that recovery follows: the newest among the archive's files, or the one wanted."""
        number = wanted or newest_line(files)
        if number <= 1:
            return Line(max(number, 1))
        path = f"archive/{self.stanza}/{archive}/{number:08X}.history"
        told = self.checked("the timelines cannot be read", "repo-get", f"--repo={repository}", path)
        return history(number, told)

    def checked(self, what: str, *arguments: str) -> str:
        code, out, err = self.run(self.command(*arguments))
        if code in (125, 126, 127) or "No such container" in err or "is not running" in err:
            raise SlipwayError(
                f"{what}: {err.strip().splitlines()[-1] if err.strip() else 'docker exec failed'}",
                f"Start the container {self.container}: deploy, or `docker start {self.container}`",
            )
        if code:
            raise explain(what, code, f"{out}\n{err}")
        return out

    def command(self, *arguments: str) -> list[str]:
        # Its stanza is no default of the container's: `info` of the others must stay possible.
        return ["docker", "exec", self.container, "pgbackrest", f"--stanza={self.stanza}", *arguments]
