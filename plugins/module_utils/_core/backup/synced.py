"""Files that are synced once, when all are written."""

from __future__ import annotations

from collections.abc import Sequence


def synced_once(command: Sequence[str], folder: str) -> tuple[str, ...]:
    """The command, which runs without a sync of its own; then one of the file system that folder is on.

    pgBackRest waits for the disk after each file that it restores, and PostgreSQL syncs them all again before
    it recovers. Whoever restores counts a copy only when this has ended: what a loss of power leaves behind
    is no copy to anybody. Its exit status is the command's; in an image without the library nothing changes.
    """
    script = f'LD_PRELOAD=libeatmydata.so "$@"; exec sync --file-system {folder}'
    return ("sh", "-ec", script, "sh", *command)
