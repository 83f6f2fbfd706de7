"""What each pool of a service did since a moment, counted from edge-log's raw counters in Prometheus.

`increase()` extrapolates: three requests become 3.6. Here every sample is read once, its rises are added up,
and a counter that falls has been restarted: exact for one request in five seconds, over many edge hosts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..prometheus import Series
from .chances import percentile
from .judging import Sample

JOB = "edge-log"
REQUESTS = "slipway_edge_requests_total"
SECONDS = "slipway_edge_request_seconds_bucket"
# Seconds between which edge-log tells requests apart.
BOUNDS: tuple[float, ...] = (
    *(0, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3),
    *(0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30),
)
# Seconds of samples read before what is known already: some scrapes, so that none is missed.
OVERLAP = 20
# Seconds without a scrape after which a host's requests are no longer seen.
SILENCE = 15

Ask = Callable[[str], list[Series]]
# Series name, instance, service, pool, and the code or upper bound it counts.
Key = tuple[str, str, str, str, str]


@dataclass
class _Counter:
    moment: float
    value: float
    total: float = 0.0

    def follow(self, moment: float, value: float) -> None:
        if moment <= self.moment:
            return
        # Less than before: the exporter was restarted, and has counted this much since.
        self.total += value - self.value if value >= self.value else value
        self.moment, self.value = moment, value


def counters_query(services: Sequence[str], window: int) -> str:
    """Raw samples of everything that is counted for some services, of the last `window` seconds."""
    names = "|".join(sorted(services))
    return f'{{__name__=~"{REQUESTS}|{SECONDS}",job="{JOB}",service=~"{names}"}}[{window}s]'


def scrapes_query(window: int) -> str:
    """When each edge host's counters were read, successfully (1) or not (0)."""
    return f'up{{job="{JOB}"}}[{window}s]'


class EdgeCounts:
    """Counts since a moment, brought up to date by `update`."""

    def __init__(
        self, ask: Ask, services: Sequence[str], since: float, clock: Callable[[], float] = time.time
    ) -> None:
        """`since`: seconds since the epoch, by the clock of Prometheus' host."""
        self._ask = ask
        self._services = services
        self._since = since
        self._clock = clock
        self._read_until = since
        self._counters: dict[Key, _Counter] = {}
        self._scraped: dict[str, float] = {}
        self._first_scrape: dict[str, float] = {}
        self._hosts: dict[str, str] = {}

    def update(self) -> None:
        """Read what Prometheus has learned; after a failure (SlipwayError) the next call catches up."""
        now = self._clock()
        window = math.ceil(max(now - self._read_until, 0)) + OVERLAP
        # Scrapes first: a counter that appears meanwhile is then still known to be new.
        scrapes = self._ask(scrapes_query(window))
        counters = self._ask(counters_query(self._services, window))
        for one in scrapes:
            self._note_scrapes(one)
        for one in counters:
            self._count(one)
        self._read_until = max([self._read_until, *(counter.moment for counter in self._counters.values())])

    def sample(self, service: str, pool: str) -> Sample:
        """What one pool did; pool "": what no replica answered."""
        requests: dict[str, float] = {}
        buckets: dict[float, float] = {}
        for (name, _, its_service, its_pool, label), counter in self._counters.items():
            if (its_service, its_pool) != (service, pool):
                continue
            if name == REQUESTS:
                requests[label] = requests.get(label, 0) + counter.total
            else:
                bound = float(label)
                buckets[bound] = buckets.get(bound, 0) + counter.total
        table = tuple(sorted(buckets.items())) if buckets.get(math.inf) else ()
        return Sample(
            requests=round(sum(requests.values())),
            errors=round(requests.get("5xx", 0)),
            p95=percentile(table, 0.95),
            p99=percentile(table, 0.99),
            buckets=table,
        )

    def unseen(self) -> list[str]:
        """Edge hosts whose requests are not counted at the moment, by name."""
        late = self._clock() - SILENCE
        return sorted(host for instance, host in self._hosts.items() if self._scraped.get(instance, 0) < late)

    @property
    def blind(self) -> bool:
        """Whether no edge host is seen at all."""
        return len(self.unseen()) == len(self._hosts)

    def _note_scrapes(self, one: Series) -> None:
        instance = one.labels.get("instance", "")
        self._hosts[instance] = one.labels.get("host", instance)
        good = [moment for moment, value in one.samples if value == 1]
        if good:
            self._scraped[instance] = max(good[-1], self._scraped.get(instance, 0))
            self._first_scrape.setdefault(instance, good[0])

    def _count(self, one: Series) -> None:
        labels = one.labels
        instance = labels.get("instance", "")
        key = (
            labels["__name__"],
            instance,
            labels.get("service", ""),
            labels.get("pool", ""),
            labels.get("code") or labels.get("le", ""),
        )
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._begin(one.samples, instance)
        for moment, value in one.samples:
            counter.follow(moment, value)

    def _begin(self, samples: Sequence[tuple[float, float]], instance: str) -> _Counter:
        """Where counting starts: the last value before the moment; 0, if the host was read without it."""
        before = [sample for sample in samples if sample[0] <= self._since]
        if before:
            return _Counter(*before[-1])
        first, value = samples[0]
        if self._first_scrape.get(instance, math.inf) < first:
            return _Counter(0.0, 0.0)
        # Never seen before: what it counted until now may be from long ago.
        return _Counter(first, value)
