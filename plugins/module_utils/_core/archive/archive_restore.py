"""The way back from an archive: Redis key by key, files beside what serves, a volume by an exchange."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import SlipwayError
from . import archive_redis
from .archive_host import ArchiveHost
from .archive_plan import FILES, REDIS, VOLUME, Snapshot, chosen, repository_of, snapshots, together


@dataclass(frozen=True)
class Restored:
    """What came back, in words, from which snapshot."""

    snapshot: Snapshot
    told: str


def restore(host: ArchiveHost, what: str, wanted: str) -> Restored:
    """what: `redis`, `files` or `volume:<name>`. wanted: `latest`, or the beginning of an archive's id."""
    with host.only_one():
        host.reachable()
        repository = REDIS if what == REDIS else repository_of(host.settings.host)
        told = host.restic("the archive cannot be listed", repository, "snapshots", "--json")
        snapshot = chosen(snapshots(repository, told), wanted, datetime.now(UTC))
        if what == REDIS:
            return Restored(snapshot, _redis(host, snapshot))
        if what == FILES:
            return Restored(snapshot, _files(host, snapshot))
        return Restored(snapshot, _volume(host, snapshot, what.removeprefix(VOLUME)))


def _files(host: ArchiveHost, snapshot: Snapshot) -> str:
    """Beside what serves: that belongs to the release, and a deployment makes it again."""
    target = host.root / f"restored-{snapshot.short}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    what = (snapshot.id, f"--target={target}", f"--include={host.root}")
    host.restic("the files cannot be restored", repository_of(host.settings.host), "restore", *what)
    return f"the files are below {target}{host.root}"


def _volume(host: ArchiveHost, snapshot: Snapshot, name: str) -> str:
    """Beside the volume's data first; its containers stand still only while the two are exchanged.

    What it held may be the only copy there is: nothing here ever deletes it.
    """
    data = host.volume(name)
    saved = [path for path in snapshot.paths if path.endswith(f"/{host.volume_name(name)}/_data")]
    if not saved:
        raise SlipwayError(f"archive {snapshot.short} has no volume {name}", "Name another: -e snapshot=<id>")
    fresh = data.with_name("slipway-restored")
    before = data.with_name(f"before-{snapshot.short}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    shutil.rmtree(fresh, ignore_errors=True)
    what = (f"{snapshot.id}:{saved[0]}", f"--target={fresh}")
    host.restic("the volume cannot be restored", repository_of(host.settings.host), "restore", *what)
    owner = data.stat()
    os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.chmod(owner.st_mode & 0o7777)
    listing = ["docker", "ps", "--quiet", "--filter", f"volume={host.volume_name(name)}"]
    users = host.checked("its containers cannot be listed", *listing).split()
    with together() as attempt:
        try:
            with attempt():
                for user in users:
                    host.checked(f"container {user} does not stop", "docker", "stop", user)
                data.rename(before)
                fresh.rename(data)
        finally:
            if not data.exists():
                before.rename(data)
            for user in users:
                with attempt():
                    host.checked(f"container {user} does not start", "docker", "start", user)
    told = f"volume {name} is back, containers started again: {len(users)}"
    return f"{told}; until you remove it, what it held stays in {before}"


def _redis(host: ArchiveHost, snapshot: Snapshot) -> str:
    own = host.settings
    if not own.redis_port:
        raise SlipwayError("this host has no Redis", "Restore on one that has")

    def fill(folder: Path) -> None:
        (path,) = snapshot.paths
        inner = (f"{snapshot.id}:{Path(path).parent}", f"--target={folder}")
        host.restic("the snapshot cannot be restored", REDIS, "restore", *inner)

    with closing(host.redis(own.address)) as here:
        master = archive_redis.leader(here.info("replication"), own.address)
    folder = host.root / "state/archive/redis"
    with (
        archive_redis.scratch(host.run, host.container("redis"), folder, fill) as source,
        closing(host.redis(master)) as target,
    ):
        copied = archive_redis.copy(source, target)
    return (
        f"{copied.restored} of {copied.keys} keys are in Redis again, {copied.gone} expired meanwhile; "
        f"the master is {master}"
    )
