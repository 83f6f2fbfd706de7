"""How a service is released, as declared: strategies, gates and probes; values only."""

from __future__ import annotations

from dataclasses import dataclass

INCONCLUSIVE = ("proceed", "rollback")


@dataclass(frozen=True)
class Portion:
    """Replicas of one host: a number of them, or a percentage of all it has."""

    amount: int
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.amount}{'%' if self.percent else ''}"


@dataclass(frozen=True)
class StrategyStep:
    """What shall be true on every host once the step is reached.

    new, old: replicas of the pools; None: as before the step.
    share: percent of the traffic to the new pool; None: every replica the same.
    pause: seconds under judgement.
    surge, stop_first: these stand alone, for "replace so many at a time until all are new": the new ones
    started before, or after, the old ones are stopped.
    """

    new: Portion | None = None
    old: Portion | None = None
    share: int | None = None
    pause: int = 0
    surge: int | None = None
    stop_first: int | None = None


@dataclass(frozen=True)
class Strategy:
    """How a release replaces the one before.

    watch: seconds after the last step in which the old pool is kept and the new one judged.
    warm: whether the old pool stays after that, too, without traffic, for a rollback in seconds.
    inconclusive: whether a gate without enough requests lets the release `proceed` or means `rollback`.
    batch: hosts that start and stop replicas at once; 0: all.
    """

    name: str
    steps: tuple[StrategyStep, ...]
    watch: int = 0
    warm: bool = False
    inconclusive: str = "proceed"
    batch: int = 0


@dataclass(frozen=True)
class GateQuery:
    """The user's own PromQL, in which `$pool` and `$service` are replaced; above `max` it fails."""

    name: str
    query: str
    max: float


@dataclass(frozen=True)
class Gates:
    """What a new pool must keep to while it is judged; None: not judged.

    errors: percent of responses that are 5xx. errors_above_old: percentage points above the old pool.
    p95, p99: milliseconds. slower_than_old: factor between the p95 of both pools.
    minimum_requests: below so many the verdict is inconclusive.
    memory: percent of its limit that the fullest replica may use; 100: not judged.
    memory_lasts: seconds in which a growing replica must not reach its limit; 0: not judged.
    """

    errors: float
    errors_above_old: float
    p95: int | None
    p99: int | None
    slower_than_old: float | None
    minimum_requests: int
    queries: tuple[GateQuery, ...]
    memory: float = 100
    memory_lasts: int = 0


@dataclass(frozen=True)
class ServiceProbe:
    """What a new replica is asked through the edge. status None: 2xx or 3xx. within: milliseconds.

    A gRPC service has one only: its health, `path` is the name to ask for.
    """

    path: str
    status: int | None
    contains: str | None
    within: int
