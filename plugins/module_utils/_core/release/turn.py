"""One release at a time on a host.

A run that was killed on the control node leaves its module at work here, which ends what it began. The next
run's module waits for it, instead of writing the same files and replacing the same containers beside it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SlipwayError

POLL = 0.2


@contextmanager
def own_turn(path: Path, patience: float) -> Iterator[None]:
    """Hold the file's lock; the kernel gives it back when this process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _claim(handle, time.monotonic() + patience)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _claim(handle: int, limit: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= limit:
                owner = os.pread(handle, 32, 0).decode() or "unknown"
                raise SlipwayError(
                    f"another deployment is at work on this host (process {owner})",
                    f"Wait until it has ended (`ps {owner}`), then deploy again",
                ) from None
            time.sleep(POLL)  # between two attempts
