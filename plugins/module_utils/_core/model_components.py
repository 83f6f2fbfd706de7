"""What the platform supplies to a stack, as declared: the settings of its components; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
