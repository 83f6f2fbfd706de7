"""Who called itself primary when, as routers ask: how long nobody did, and whether ever two did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

# Seconds between two looks.
EVERY = 0.1


@dataclass(frozen=True)
class Sample:
    """`at`: seconds of a monotonic clock. `primaries`: members whose API said that they accept writes."""

    at: float
    primaries: tuple[str, ...]


def interruption(samples: Sequence[Sample]) -> float:
    """Seconds of the longest time in which no member accepted writes.

    From the last look that found one to the next that did: an upper bound, to within one look. 0 where each
    look found one; the time until the last look where none came back.
    """
    longest, last = 0.0, samples[0].at if samples else 0.0
    missing = False
    for sample in samples:
        if sample.primaries and missing:
            longest = max(longest, sample.at - last)
        missing = not sample.primaries
        if sample.primaries:
            last = sample.at
    return round(max(longest, samples[-1].at - last if missing else 0.0), 2)


def two_at_once(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Members that called themselves primary at the same time; () where there was never more than one.

    Both must say so in two looks in a row: within a single look one may be asked before a handover
    and the other after it; in the second the first one says so after the other did.
    """
    for one, other in zip(samples, samples[1:], strict=False):
        both = [name for name in one.primaries if name in other.primaries]
        if len(both) > 1:
            return tuple(both)
    return ()


class Watch:
    """Looks at all members while something is changed: `with Watch(members, is_primary) as watch: …`."""

    def __init__(self, members: Sequence[str], is_primary: Callable[[str], bool]) -> None:
        """is_primary: whether a member says so; it must answer within a second or two, and not raise."""
        self._members = list(members)
        self._is_primary = is_primary
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        with ThreadPoolExecutor(len(self._members)) as pool:
            while True:
                answers = list(pool.map(self._is_primary, self._members))
                lead = tuple(name for name, primary in zip(self._members, answers, strict=True) if primary)
                self.samples.append(Sample(time.monotonic(), lead))
                if self._ending.wait(EVERY):
                    return
