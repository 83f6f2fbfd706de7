"""Stop asking what does not answer, for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row; after `pause` seconds it lets one caller try again."""

    def __init__(self, failures: int, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._pause = pause
        self._clock = clock
        self._in_a_row = 0
        self._closed_at = 0.0

    def allows(self) -> bool:
        if self._in_a_row < self._failures:
            return True
        if self._clock() < self._closed_at:
            return False
        # The one that tries; the others wait for what it finds.
        self._closed_at = self._clock() + self._pause
        return True

    def succeeded(self) -> None:
        self._in_a_row = 0

    def failed(self) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self._failures:
            self._closed_at = self._clock() + self._pause
