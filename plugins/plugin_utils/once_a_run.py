"""What the workers of one run work out once between them, instead of each for each task and host.

Ansible forks a worker for every task on every host, and keeps nothing that it found out. What is kept here is
kept in memory that the main process maps before it forks: secrets are among it, so no file will do. The main
process imports an action's module before the first worker of that action is forked.
"""

from __future__ import annotations

import fcntl
import hashlib
import pickle
import tempfile
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Address space, not memory: a page is taken when it is written to.
_SIZE = 256 * 1024**2
# Bytes that tell how many follow.
_HEAD = 8


class Memory:
    """A dictionary that a process and all that it forks share; what does not fit is not kept."""

    def __init__(self, size: int = _SIZE) -> None:
        self._bytes = mmap(-1, size)
        # An empty file without a name: the system takes its lock from a worker that is killed.
        self._turns, path = tempfile.mkstemp()
        Path(path).unlink()

    def once(self, key: object, compute: Callable[[], T]) -> T:
        """What `compute` returns, which can be pickled. Whoever is second waits; a raised error is not kept.

        key: all that the value follows from; told from others by its `repr`.
        """
        digest = hashlib.sha256(repr(key).encode()).digest()
        fcntl.lockf(self._turns, fcntl.LOCK_EX)
        try:
            kept = self._read()
            if digest in kept:
                found: T = pickle.loads(kept[digest])
                return found
            value = compute()
            self._write(kept | {digest: pickle.dumps(value)})
            return value
        finally:
            fcntl.lockf(self._turns, fcntl.LOCK_UN)

    def _read(self) -> dict[bytes, bytes]:
        length = int.from_bytes(self._bytes[:_HEAD], "big")
        return pickle.loads(self._bytes[_HEAD : _HEAD + length]) if length else {}

    def _write(self, kept: dict[bytes, bytes]) -> None:
        packed = pickle.dumps(kept)
        if _HEAD + len(packed) <= len(self._bytes):
            # The length last: a worker that is killed here leaves nothing half written to be read.
            self._bytes[:_HEAD] = bytes(_HEAD)
            self._bytes[_HEAD : _HEAD + len(packed)] = packed
            self._bytes[:_HEAD] = len(packed).to_bytes(_HEAD, "big")


_this_run = Memory()
once_a_run = _this_run.once
