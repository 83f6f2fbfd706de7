"""What is done to a stack's archives on one host: by its timers, and by the module that playbooks call.

roles/host installs this file and those it imports as a program of the host: nothing but Python, restic and
the engine may be needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from ..errors import SlipwayError
from ..run import Run, process
from . import archive_redis, archive_second
from .archive_host import ArchiveHost, AtWorkError
from .archive_plan import (
    FILES,
    REDIS,
    Snapshot,
    expired,
    explain,
    kept_metrics,
    no_repository,
    repository_of,
    saver,
    together,
    told_before,
    unread,
)

Say = Callable[[str], object]
# What systemd is told where another one is at work: not a failure, try again.
TRY_AGAIN = 75
# restic's status where it saved what it could and not everything.
_INCOMPLETE = 3
_KEPT = "archive.prom"


class Archive:
    """One host's part of a stack's archive. root: the stack's folder, /opt/<stack>."""

    def __init__(self, root: Path, run: Run = process) -> None:
        self.host = ArchiveHost(root, run)

    def begun(self) -> bool:
        """Whether anything was ever archived from here to where archives are kept now, or tried to be."""
        return self.host.tried("take")

    def take(self, say: Say) -> None:
        """Archive files and volumes, and Redis where it is this host's turn; each also if the other fails."""
        with self.host.only_one(), self.host.telling("take"):
            self.host.reachable()
            with together() as attempt:
                for part in (self._take_files, self._take_redis):
                    with attempt():
                        say(part())

    def keep(self, say: Say) -> None:
        """On the repositories' host: delete what is old, check the rest, tell how old the newest are.

        Each also if another fails; of one that cannot be listed, what is known of it is told again.
        """
        host, now = self.host, datetime.now(UTC)
        with host.only_one(), host.telling("keep"), together() as attempt:
            before = host.told(_KEPT)
            told = {name: told_before(name, before) for name in host.settings.keeps}
            for name in told:
                with attempt():
                    host.unlock(name)
                    found = host.kept(name)
                    told[name] = kept_metrics(name, found, now)
                    if old := expired(found, host.settings.keep_days, now):
                        told[name] = kept_metrics(name, self._without(name, old), now)
                        say(f"{name}: {len(old)} deleted")
            host.write(_KEPT, chain.from_iterable(told.values()))

    def _without(self, repository: str, old: Sequence[str]) -> list[Snapshot]:
        """What is left when the old ones are deleted."""
        self.host.locally(repository, "forget", "--prune", *old)
        self.host.locally(repository, "check")
        found = self.host.kept(repository)
        # restic calls it a success also where it could delete nothing.
        if any(it.id in old for it in found):
            raise SlipwayError(
                f"{repository}: what is old could not be deleted",
                "See who owns the files of the volume archive-repository: uid 10001 must",
            )
        return found

    def copy(self, say: Say) -> None:
        """On the repositories' host: have the second place hold the same."""
        archive_second.copy(self.host, say)

    def listed(self) -> dict[str, list[Snapshot]]:
        """On the repositories' host: every archive there is, by repository."""
        return {name: self.host.kept(name) for name in self.host.settings.keeps}

    def _take_files(self) -> str:
        link = self.host.root / "current"
        folders = [
            self.host.root / "config",
            link,
            link.resolve(),
            *map(self.host.volume, self.host.settings.volumes),
        ]
        # restic leaves out what is not there, and calls that a success.
        missing = [str(folder) for folder in folders if not folder.exists()]
        if missing:
            raise SlipwayError(
                f"{', '.join(missing)} is not there to be archived", "Deploy, then run this again"
            )
        return self._add(repository_of(self.host.settings.host), FILES, *map(str, folders))

    def _take_redis(self) -> str:
        own = self.host.settings
        if not own.redis_port:
            return "redis: another host has it"
        with closing(self.host.redis(own.address)) as redis:
            info = redis.info("replication")
            master = archive_redis.leader(info, own.address)
            if master != own.address:
                with closing(self.host.redis(master)) as at_master:
                    info = at_master.info("replication")
            taker = saver(master, info)
            if taker != own.address:
                return f"redis: it is the turn of {taker}"
            archive_redis.save(redis)
        dump = self.host.volume("redis") / archive_redis.DUMP
        try:
            return self._add(REDIS, REDIS, str(dump))
        finally:
            # The append-only file is the persistence; this would be its size again.
            inside = f"/var/lib/redis/{archive_redis.DUMP}"
            self.host.run(["docker", "exec", self.host.container("redis"), "rm", "--force", inside])

    def _add(self, repository: str, tag: str, *paths: str) -> str:
        code, out, err = self.host.ask(repository, "cat", "config")
        if no_repository(code, err):
            self.host.restic("the repository cannot be made", repository, "init")
        elif code:
            raise explain("the repository cannot be opened", code, err)
        command = ("backup", "--json", f"--host={self.host.settings.host}", f"--tag={tag}", *paths)
        code, out, err = self.host.ask(repository, *command)
        if (code and code != _INCOMPLETE) or (code and unread(err)):
            raise explain(f"{tag} cannot be archived", code, "\n".join(unread(err)))
        done = json.loads(out.strip().splitlines()[-1])
        added = done["data_added"] / (1 << 20)
        snapshot, count = done["snapshot_id"][:8], done["total_files_processed"]
        return f"{tag}: archive {snapshot}, {count} files, {added:.1f} MB new"


def main(arguments: Sequence[str]) -> int:
    """`STACK take`, `keep` or `copy`, from a timer or by a person at the host."""
    if len(arguments) != 2 or arguments[1] not in ("take", "keep", "copy"):
        print("usage: archive STACK take|keep|copy", file=sys.stderr)
        return 2
    stack, what = arguments
    try:
        archive = Archive(Path("/opt") / stack)
        work = {"take": archive.take, "keep": archive.keep, "copy": archive.copy}
        work[what](lambda line: print(line, flush=True))
    except AtWorkError as error:
        print(error, flush=True)
        return TRY_AGAIN
    except SlipwayError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0
