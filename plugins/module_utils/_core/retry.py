"""When to try again: growing, jittered pauses up to a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator


def delays(first: float, longest: float, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Pauses that double up to a longest one, each shortened by up to half: hosts must not try in step."""
    pause = first
    while True:
        yield min(pause, longest) * (1 - chance() / 2)
        pause = min(pause * 2, longest)


class Patience:
    """How much longer something may take. The clock and the sleep are handed in by tests."""

    def __init__(
        self,
        seconds: float,
        pauses: Iterator[float],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pauses = pauses
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + seconds

    def again(self) -> bool:
        """Pause before another try; False, at once, when the time is used up."""
        left = self._deadline - self._clock()
        if left <= 0:
            return False
        self._sleep(min(next(self._pauses), left))
        return True
