"""What an environment declares, parsed once: the stack, its services and its components.

Values only. `validation.parse_stack` makes them from the user's input and names every fault with its path;
`topology` decides what they mean for each host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PROTOCOLS = ("http", "grpc", "websocket")


@dataclass(frozen=True)
class Host:
    """One machine of the environment. `address` is the private IP address its peers reach it at."""

    name: str
    address: str


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
class Service:
    """A part the user supplies. Either `image` or `build` is set; `build` is relative to the checkout."""

    name: str
    image: str | None
    build: str | None
    command: tuple[str, ...]
    port: int
    protocol: str
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
    publish_base: int


@dataclass(frozen=True)
class SecretRule:
    """How a user's secret comes to be: `generate` random bytes (hex); None: the user supplies it."""

    name: str
    generate: int | None


@dataclass(frozen=True)
class Tls:
    """The edge's certificate: signed by the environment's CA, or two PEM files on the control node."""

    certificate: str | None
    key: str | None


@dataclass(frozen=True)
class Edge:
    hosts: tuple[str, ...]
    http_port: int
    https_port: int
    public_https_port: int
    tls: Tls
    hsts_max_age: int
    content_security_policy: str
    cors_origins: tuple[str, ...]
    max_body: int


@dataclass(frozen=True)
class Registry:
    hosts: tuple[str, ...]
    port: int


@dataclass(frozen=True)
class Etcd:
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Postgres:
    hosts: tuple[str, ...]
    parameters: Mapping[str, str]
    max_connections: int
    pool_size: int
    synchronous: bool
    max_replica_lag: int
    memory: int


@dataclass(frozen=True)
class Redis:
    hosts: tuple[str, ...]
    max_memory: int
    eviction: str


@dataclass(frozen=True)
class Monitoring:
    """Prometheus, Alertmanager and the blackbox prober; exporters stand beside what they watch."""

    hosts: tuple[str, ...]
    retention: int


@dataclass(frozen=True)
class Components:
    edge: Edge
    registry: Registry
    etcd: Etcd
    postgres: Postgres | None
    redis: Redis | None
    monitoring: Monitoring


@dataclass(frozen=True)
class Stack:
    """What an environment runs. `images` overrides a component's image reference by name."""

    name: str
    domain: str
    hosts: tuple[Host, ...]
    services: Mapping[str, Service]
    secrets: Mapping[str, SecretRule]
    components: Components
    images: Mapping[str, str]
    keep_releases: int
