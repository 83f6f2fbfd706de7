"""Waiting with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], accept: Callable[[T], bool], seconds: float) -> T:
    """The first acceptable answer, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if accept(seen) or time.monotonic() > deadline:
            return seen
        time.sleep(0.3)  # between two looks
