"""One service as declared, and the smaller values it is made of; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model_rollout import Gates, ServiceProbe, Strategy

PROTOCOLS = ("http", "grpc", "websocket")
RETRIES = ("unsent", "reads")
CONTRACT = ("after_watch", "on_demand")


@dataclass(frozen=True)
class Resources:
    """Limits of one replica: CPU cores and bytes of memory."""

    cpus: float
    memory: int


@dataclass(frozen=True)
class RateLimit:
    """Requests one client address may make in a sliding window of seconds."""

    requests: int
    window: int


@dataclass(frozen=True)
class Route:
    """What the edge sends to a service: a domain and a path prefix."""

    domain: str
    path: str


@dataclass(frozen=True)
class Scale:
    """Bounds of a service's replicas on each host."""

    min: int
    max: int


@dataclass(frozen=True)
class LatencyObjective:
    """`percent` of the requests are answered `within` so many milliseconds."""

    percent: float
    within: int


@dataclass(frozen=True)
class Slo:
    """What a service promises its clients over the last `window` seconds; None: nothing is promised.

    availability: percent of the requests that are answered without an error of the server's.
    """

    availability: float | None
    latency: LatencyObjective | None
    window: int


@dataclass(frozen=True)
class Service:
    """A part the user supplies. Either `image` or `build` is set; `build` is relative to the checkout.

    Without a `port` it is a worker: nobody sends it anything, so no router knows it.
    """

    name: str
    image: str | None
    build: str | None
    command: tuple[str, ...]
    port: int | None
    protocol: str | None
    health_path: str | None
    replicas: int
    hosts: tuple[str, ...]
    route: Route | None
    rate_limit: RateLimit | None
    resources: Resources
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    secrets_in_environment: tuple[str, ...]
    database: str | None
    migrations: str | None
    redis: bool
    metrics_path: str | None
    user: int
    drain: int
    start_timeout: int
    retry: str
    publish_base: int
    strategy: Strategy
    gates: Gates
    scale: Scale
    health_command: tuple[str, ...] = ()
    settle: int = 5
    volumes: Mapping[str, str] = field(default_factory=dict)
    probes: tuple[ServiceProbe, ...] = ()
    sticky: bool = False
    # When contract migrations run.
    contract: str = CONTRACT[0]
    # Whom its alerts are for: a name that routes of alerts use.
    owner: str | None = None
    slo: Slo | None = None

    @property
    def is_worker(self) -> bool:
        return self.port is None
