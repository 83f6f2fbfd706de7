"""A lock of this host: work that only one may do at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import SlipwayError


@contextmanager
def only_one(lock: Path, at_work: SlipwayError) -> Iterator[None]:
    """Hold the lock, which ends with this process. at_work: what is raised where another one holds it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise at_work from None
        yield
    finally:
        os.close(handle)
