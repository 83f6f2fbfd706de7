"""What is done to a stack's archives on one host: by its timers, and by the module that playbooks call.

roles/host installs this file and those it imports as a program of the host: nothing but Python, restic and
the engine may be needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import archive_redis
from .archive_plan import (
    FILES,
    REDIS,
    VOLUME,
    Settings,
    Snapshot,
    chosen,
    expired,
    explain,
    kept_metrics,
    last_metrics,
    newest,
    no_repository,
    repository_of,
    saver,
    snapshots,
    unread,
)
from .errors import SlipwayError
from .run import Run

Say = Callable[[str], object]
# What systemd is told where another one is at work: not a failure, try again.
TRY_AGAIN = 75
CACHE = "/var/cache/slipway-archive"
KEPT = "/var/lib/archive"
_LOCK = "--retry-lock=10m"
# restic's status where it saved what it could and not everything.
_INCOMPLETE = 3


class AtWorkError(SlipwayError):
    """Another one holds the lock; it passes by itself."""


def process(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    """A runner without Ansible."""
    done = subprocess.run(
        list(argv), input=stdin or "", capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True)
class Restored:
    """What came back, in words, from which snapshot."""

    snapshot: Snapshot
    told: str


class Archive:
    """One host's part of a stack's archive. root: the stack's folder, /opt/<stack>."""

    def __init__(self, root: Path, run: Run = process) -> None:
        self._root = root
        self._own = root / "config/host/archive"
        self._tls = root / "config/host/tls"
        self._run = run
        try:
            text = (self._own / "settings.json").read_text(encoding="utf-8")
        except OSError as error:
            raise SlipwayError(
                f"this host archives nothing of {root.name}: {error.filename} cannot be read",
                "Deploy a stack with components/backup/archive first",
            ) from error
        self.settings = Settings.from_dict(json.loads(text))

    def begun(self) -> bool:
        """Whether anything was ever archived from here, or tried to be."""
        return (self._root / "state/metrics/archive_take.prom").exists()

    def take(self, say: Say) -> None:
        """Archive files and volumes, and Redis where it is this host's turn; each also if the other fails."""
        with self._only_one(), self._telling("take"):
            self._reachable()
            failed: list[SlipwayError] = []
            for part in (self._take_files, self._take_redis):
                try:
                    say(part())
                except SlipwayError as error:
                    failed.append(error)
            if failed:
                raise SlipwayError("; ".join(error.problem for error in failed), failed[0].remedy)

    def keep(self, say: Say) -> None:
        """On the repositories' host: delete what is old, check the rest, tell how old the newest are."""
        with self._only_one(), self._telling("keep"):
            now, ages, counts = datetime.now(UTC), dict[str, float](), dict[str, int]()
            for name in self.settings.keeps:
                found = self._kept(name)
                old = expired(found, self.settings.keep_days, now)
                if old:
                    # Only locks of those that have died.
                    self._locally(name, "unlock")
                    self._locally(name, "forget", "--prune", *old)
                    self._locally(name, "check")
                    found = self._kept(name)
                    # restic calls it a success also where it could delete nothing.
                    if any(it.id in old for it in found):
                        raise SlipwayError(
                            f"{name}: what is old could not be deleted",
                            "See who owns the files of the volume archive-repository: uid 10001 must",
                        )
                    say(f"{name}: {len(old)} deleted")
                ages[name], counts[name] = newest(found, now), len(found)
            self._write("archive.prom", kept_metrics(ages, counts))

    def listed(self) -> dict[str, list[Snapshot]]:
        """On the repositories' host: every archive there is, by repository."""
        return {name: self._kept(name) for name in self.settings.keeps}

    def restore(self, what: str, wanted: str) -> Restored:
        with self._only_one():
            self._reachable()
            repository = REDIS if what == REDIS else repository_of(self.settings.host)
            found = snapshots(self._restic("the archive cannot be listed", repository, "snapshots", "--json"))
            snapshot = chosen(found, wanted, datetime.now(UTC))
            if what == REDIS:
                return Restored(snapshot, self._restore_redis(snapshot))
            if what == FILES:
                return Restored(snapshot, self._restore_files(snapshot))
            return Restored(snapshot, self._restore_volume(snapshot, what.removeprefix(VOLUME)))

    def _take_files(self) -> str:
        link = self._root / "current"
        folders = [self._root / "config", link, link.resolve(), *map(self._volume, self.settings.volumes)]
        # restic leaves out what is not there, and calls that a success.
        missing = [str(folder) for folder in folders if not folder.exists()]
        if missing:
            raise SlipwayError(
                f"{', '.join(missing)} is not there to be archived", "Deploy, then run this again"
            )
        return self._add(repository_of(self.settings.host), FILES, *map(str, folders))

    def _take_redis(self) -> str:
        own = self.settings
        if not own.redis_port:
            return "redis: another host has it"
        with closing(self._redis(own.address)) as redis:
            info = redis.info("replication")
            master = archive_redis.leader(info, own.address)
            if master != own.address:
                with closing(self._redis(master)) as at_master:
                    info = at_master.info("replication")
            taker = saver(master, info)
            if taker != own.address:
                return f"redis: it is the turn of {taker}"
            archive_redis.save(redis)
        dump = self._volume("redis") / archive_redis.DUMP
        try:
            return self._add(REDIS, REDIS, str(dump))
        finally:
            # The append-only file is the persistence; this would be its size again.
            inside = f"/var/lib/redis/{archive_redis.DUMP}"
            self._run(["docker", "exec", self._container("redis"), "rm", "--force", inside])

    def _add(self, repository: str, tag: str, *paths: str) -> str:
        code, out, err = self._ask(repository, "cat", "config")
        if no_repository(code, err):
            self._restic("the repository cannot be made", repository, "init")
        elif code:
            raise explain("the repository cannot be opened", code, err)
        command = ("backup", "--json", f"--host={self.settings.host}", f"--tag={tag}", *paths)
        code, out, err = self._ask(repository, *command)
        if (code and code != _INCOMPLETE) or (code and unread(err)):
            raise explain(f"{tag} cannot be archived", code, "\n".join(unread(err)))
        done = json.loads(out.strip().splitlines()[-1])
        added = done["data_added"] / (1 << 20)
        snapshot, count = done["snapshot_id"][:8], done["total_files_processed"]
        return f"{tag}: archive {snapshot}, {count} files, {added:.1f} MB new"

    def _restore_files(self, snapshot: Snapshot) -> str:
        """Beside what serves: that belongs to the release, and a deployment makes it again."""
        target = self._root / f"restored-{snapshot.short}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700)
        what = (snapshot.id, f"--target={target}", f"--include={self._root}")
        self._restic("the files cannot be restored", repository_of(self.settings.host), "restore", *what)
        return f"the files are below {target}{self._root}"

    def _restore_volume(self, snapshot: Snapshot, name: str) -> str:
        """Beside the volume's data first; its containers stand still only while the two are exchanged."""
        data = self._volume(name)
        saved = [path for path in snapshot.paths if path.endswith(f"/{self._volume_name(name)}/_data")]
        if not saved:
            raise SlipwayError(
                f"archive {snapshot.short} has no volume {name}", "Name another: -e snapshot=<id>"
            )
        fresh, before = data.with_name("slipway-restored"), data.with_name(f"before-{snapshot.short}")
        shutil.rmtree(fresh, ignore_errors=True)
        what = (f"{snapshot.id}:{saved[0]}", f"--target={fresh}")
        self._restic("the volume cannot be restored", repository_of(self.settings.host), "restore", *what)
        owner = data.stat()
        os.chown(fresh, owner.st_uid, owner.st_gid)
        fresh.chmod(owner.st_mode & 0o7777)
        listing = ["docker", "ps", "--quiet", "--filter", f"volume={self._volume_name(name)}"]
        users = self._checked("its containers cannot be listed", *listing).split()
        try:
            for user in users:
                self._checked("a container does not stop", "docker", "stop", user)
            shutil.rmtree(before, ignore_errors=True)
            data.rename(before)
            fresh.rename(data)
        finally:
            if not data.exists():
                before.rename(data)
            for user in users:
                self._checked("a container does not start", "docker", "start", user)
        return f"volume {name} is back, containers started again: {len(users)}; what it held is in {before}"

    def _restore_redis(self, snapshot: Snapshot) -> str:
        own = self.settings
        if not own.redis_port:
            raise SlipwayError("this host has no Redis", "Restore on one that has")

        def fill(folder: Path) -> None:
            (path,) = snapshot.paths
            inner = (f"{snapshot.id}:{Path(path).parent}", f"--target={folder}")
            self._restic("the snapshot cannot be restored", REDIS, "restore", *inner)

        with closing(self._redis(own.address)) as here:
            master = archive_redis.leader(here.info("replication"), own.address)
        folder = self._root / "state/archive/redis"
        with (
            archive_redis.scratch(self._run, self._container("redis"), folder, fill) as source,
            closing(self._redis(master)) as target,
        ):
            copied = archive_redis.copy(source, target)
        return (
            f"{copied.restored} of {copied.keys} keys are in Redis again, {copied.gone} expired meanwhile; "
            f"the master is {master}"
        )

    def _redis(self, address: str) -> archive_redis.Redis:
        password = (self._own / "redis_admin").read_text(encoding="utf-8")
        return archive_redis.Redis.at(address, self.settings.redis_port, self._tls / "ca.crt", password)

    def _reachable(self) -> None:
        """restic would go on trying for a quarter of an hour."""
        address, _, port = self.settings.repository.rpartition(":")
        try:
            context = ssl.create_default_context(cafile=str(self._tls / "ca.crt"))
            context.load_cert_chain(self._tls / "tls.pem")
            with (
                socket.create_connection((address, int(port)), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=address) as stream,
            ):
                stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                stream.recv(1)
        except OSError as error:
            raise explain("the archive cannot be reached", 1, str(error)) from error

    def _ask(self, repository: str, *arguments: str) -> tuple[int, str, str]:
        command = ["restic", f"--repo=rest:https://{self.settings.repository}/{repository}/", _LOCK]
        command += [f"--password-file={self._own}/{repository}.password", f"--cache-dir={CACHE}"]
        command += [f"--cacert={self._tls}/ca.crt", f"--tls-client-cert={self._tls}/tls.pem"]
        return self._run([*command, *arguments])

    def _restic(self, what: str, repository: str, *arguments: str) -> str:
        code, out, err = self._ask(repository, *arguments)
        if code:
            raise explain(what, code, err)
        return out

    def _kept(self, repository: str) -> list[Snapshot]:
        code, out, err = self._inside(repository, "snapshots", "--json")
        if no_repository(code, err):
            return []
        if code:
            raise explain(f"{repository} cannot be listed", code, err)
        return snapshots(out)

    def _locally(self, repository: str, *arguments: str) -> None:
        code, _out, err = self._inside(repository, *arguments)
        if code:
            raise explain(f"{repository}: restic {arguments[0]} failed", code, err)

    def _inside(self, repository: str, *arguments: str) -> tuple[int, str, str]:
        """Where the files are, as their owner; the container, which the net reaches, keeps no password."""
        password = (self._own / f"{repository}.password").read_text(encoding="utf-8")
        inside = ["docker", "exec", "--interactive", self._container("archive-repository")]
        restic = ["restic", f"--repo={KEPT}/{repository}", "--no-cache", _LOCK, *arguments]
        return self._run([*inside, *restic], stdin=f"{password}\n")

    def _volume(self, name: str) -> Path:
        inspect = ["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", self._volume_name(name)]
        return Path(self._checked(f"the volume {name} cannot be found", *inspect).strip())

    def _volume_name(self, name: str) -> str:
        return f"{self.settings.stack}_{name}"

    def _container(self, component: str) -> str:
        return f"{self.settings.stack}-{component}-1"

    def _checked(self, what: str, *argv: str) -> str:
        code, out, err = self._run(argv)
        if code:
            raise explain(what, code, err)
        return out

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Hold the lock of all work on this host's archives, which ends with this process."""
        handle = os.open(self._root / "state/archive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise AtWorkError(
                "another one works on the archive of this host",
                "Wait until it has ended: `systemctl list-units 'slipway-archive*'`",
            ) from None
        finally:
            os.close(handle)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Tell the monitoring how it went."""
        begun, ok = time.monotonic(), False
        try:
            yield
            ok = True
        finally:
            self._write(f"archive_{what}.prom", last_metrics(what, ok, time.time(), time.monotonic() - begun))

    def _write(self, name: str, lines: Iterable[str]) -> None:
        """A reader never finds half of a file."""
        target = self._root / "state/metrics" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{name}.{os.getpid()}")
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(target)


def main(arguments: Sequence[str]) -> int:
    """`STACK take` or `STACK keep`, from a timer or by a person at the host."""
    if len(arguments) != 2 or arguments[1] not in ("take", "keep"):
        print("usage: archive STACK take|keep", file=sys.stderr)
        return 2
    stack, what = arguments
    try:
        archive = Archive(Path("/opt") / stack)
        (archive.take if what == "take" else archive.keep)(lambda line: print(line, flush=True))
    except AtWorkError as error:
        print(error, flush=True)
        return TRY_AGAIN
    except SlipwayError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0
