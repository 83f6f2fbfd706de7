"""Memory of both pools while a gate lasts, as `slipway-container-metrics` measures it on every host."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..errors import SlipwayError
from ..prometheus import Series
from .memory_gate import Use

USED = "slipway_replica_memory_bytes"
LIMIT = "slipway_replica_memory_limit_bytes"
# When each host's readings were written: node-exporter goes on serving a file that nobody writes any more.
WRITTEN = 'max by (host) (node_textfile_mtime_seconds{file=~".+/memory.prom"})'
# Seconds between two scrapes, and without one after which a replica is not seen.
SCRAPE = 5.0
SILENCE = 20.0
# Growth over ten minutes says all that a gate asks.
LONGEST = 600.0


def usage_query(services: Sequence[str], window: int) -> str:
    return f'{{__name__=~"{USED}|{LIMIT}",service=~"{"|".join(sorted(services))}"}}[{window}s]'


class MemoryWatch:
    """Reads at most once a scrape, however often it is asked."""

    def __init__(
        self,
        ask: Callable[[str], list[Series]],
        services: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ask = ask
        self._services = services
        self._clock = clock
        self._begun = clock()
        self._read = -math.inf
        self._uses: dict[tuple[str, str], list[Use]] = {}

    @property
    def seconds(self) -> float:
        return self._clock() - self._begun

    def of(self, service: str, pool: str) -> list[Use]:
        return self._uses.get((service, pool), [])

    def update(self) -> None:
        """Read what Prometheus has learned; where it does not answer, what it told before is kept."""
        now = self._clock()
        if not self._services or now - self._read < SCRAPE:
            return
        self._read = now
        window = math.ceil(min(now - self._begun, LONGEST) + SILENCE)
        try:
            written = {one.labels.get("host", ""): one.samples[-1][1] for one in self._ask(WRITTEN)}
            found = self._ask(usage_query(self._services, window))
        except SlipwayError:
            return
        limits = {_place(one): int(one.samples[-1][1]) for one in found if one.labels["__name__"] == LIMIT}
        self._uses = {}
        for one in found:
            host, fresh = one.labels.get("host", ""), now - SILENCE
            seen = one.samples[-1][0] >= fresh and written.get(host, 0.0) >= fresh
            if one.labels["__name__"] == USED and seen and limits.get(_place(one)):
                # What was before the gate is another stage's; the last reading counts in any case.
                kept = [sample for sample in one.samples if sample[0] >= self._begun] or one.samples[-1:]
                use = Use(f"{one.labels['replica']} on {host}", limits[_place(one)], tuple(kept))
                self._uses.setdefault((one.labels["service"], one.labels["pool"]), []).append(use)


def _place(one: Series) -> tuple[str, str]:
    return one.labels.get("host", ""), one.labels.get("replica", "")
