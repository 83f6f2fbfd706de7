"""A file of the newest backup that is read with damage for a while, and is never written to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ..backup.backup_repository import Repository
from ..errors import SlipwayError
from ..run import Run

REPOSITORIES = "/var/lib/pgbackrest"
# The copy that is damaged. No name of pgBackRest's, so a proof does not look at it.
COPY = f"{REPOSITORIES}/slipway-drill"
# A copy must not take room that backups need.
_LARGEST = "64M"
# umount(8) looks the path up where it is not: on this host. The call does not. 2: also while it is read.
_UNMOUNT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
inside = os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY)
if libc.setns(inside, 0x00020000) or libc.umount2(os.fsencode(sys.argv[2]), 2):
    sys.exit(os.strerror(ctypes.get_errno()))
"""


@dataclass(frozen=True)
class Damage:
    """Shell scripts."""

    begin: str
    end: str


def newest(run: Run, container: str, stack: str) -> str:
    """The label of the newest backup in the first repository; SlipwayError where there is none."""
    backups = Repository(run, container, stack).info().of(1)
    if not backups:
        raise SlipwayError("there is no backup to damage", "Take one first: make backup")
    return backups[-1].label


def damage(run: Run, container: str, stack: str, label: str) -> Damage:
    """What damages a backup for all who read it, and what ends that.

    A damaged copy is mounted over the file in the container's own view of its volume. The file itself stays:
    a container or host that starts anew, and whatever else ends the drill, has it back.
    """
    folder = f"{REPOSITORIES}/backup/{stack}/{label}"
    find = ["find", folder, "-type", "f", "!", "-name", "backup.manifest*", "-size", f"-{_LARGEST}"]
    told = _do(run, ["docker", "exec", container, *find, "-printf", "%s %p\\n"])
    found = sorted((int(size), path) for size, path in (line.split(" ", 1) for line in told.splitlines()))
    if not found:
        raise SlipwayError(
            f"the backup {label} has no file below {_LARGEST}", "See `pgbackrest repo-ls` in the container"
        )
    size, path = found[-1]
    pid = _do(run, ["docker", "inspect", "--format", "{{.State.Pid}}", container]).strip()
    spoil = f"cp {shlex.quote(path)} {COPY}; printf damaged | dd of={COPY} bs=1 seek={size // 2} conv=notrunc"
    inside = ["docker", "exec", container]
    mount = ["mount", "--namespace", pid, "--bind", COPY, path]
    return Damage(
        f"{shlex.join([*inside, 'sh', '-ec', spoil])} && {shlex.join(mount)}",
        f"{shlex.join(['python3', '-c', _UNMOUNT, pid, path])}; {shlex.join([*inside, 'rm', '-f', COPY])}",
    )


def _do(run: Run, argv: list[str]) -> str:
    code, out, err = run(argv)
    if code:
        raise SlipwayError(
            f"`{' '.join(argv[:4])}` failed: {(err or out).strip()[-200:]}",
            "See that the container backup-repository runs on this host: `docker ps`",
        )
    return out
