"""What an environment declares, parsed once: the stack, its services and its components.

Values only. `validation.parse_stack` makes them from the user's input and names every fault with its path;
`topology` decides what they mean for each host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PROTOCOLS = ("http", "grpc", "websocket")
RETRIES = ("unsent", "reads")
INCONCLUSIVE = ("proceed", "rollback")
BEFORE_TRAFFIC, AFTER_RELEASE = "before_traffic", "after_release"
JOB_TIMES = (BEFORE_TRAFFIC, AFTER_RELEASE)
CONTRACT = ("after_watch", "on_demand")


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
class Scale:
    """Bounds of a service's replicas on each host."""

    min: int
    max: int


@dataclass(frozen=True)
class ServiceProbe:
    """What a new replica is asked through the edge. status None: 2xx or 3xx. within: milliseconds.

    A gRPC service has one only: its health, `path` is the name to ask for.
    """

    path: str
    status: int | None
    contains: str | None
    within: int


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

    @property
    def is_worker(self) -> bool:
        return self.port is None


@dataclass(frozen=True)
class Job:
    """A command that ends, run once a release in a container of its own, made as a service's are."""

    name: str
    service: str
    command: tuple[str, ...]
    when: str
    deadline: int


@dataclass(frozen=True)
class SecretRule:
    """How a user's secret comes to be: `generate` random bytes (hex); None: the user supplies it."""

    name: str
    generate: int | None


@dataclass(frozen=True)
class Email:
    """Mail of a release; `server` is host:port, `password_secret` names a declared secret."""

    to: tuple[str, ...]
    sender: str
    server: str
    tls: str
    user: str | None
    password_secret: str | None


@dataclass(frozen=True)
class Hook:
    """Whom to tell of which events of a release. One of `webhook`, `webhook_secret` and `email` is set."""

    on: tuple[str, ...]
    webhook: str | None
    webhook_secret: str | None
    format: str
    email: Email | None


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
class Assertion:
    """A query of the user's that must answer `t` in a restored copy of a database."""

    name: str
    database: str
    sql: str


@dataclass(frozen=True)
class S3:
    """A bucket; `access_key` and `secret_key` name declared secrets."""

    endpoint: str
    bucket: str
    region: str
    path_style: bool
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Sftp:
    """A folder behind SSH; `private_key` names a declared secret, `fingerprint` is the host key's SHA-256."""

    host: str
    port: int
    user: str
    private_key: str
    fingerprint: str


@dataclass(frozen=True)
class SecondRepository:
    """Where every backup and all WAL goes, too. One of `s3` and `sftp` is set."""

    path: str
    s3: S3 | None
    sftp: Sftp | None


@dataclass(frozen=True)
class Backup:
    """PostgreSQL's backups and WAL, and when they are made and proven. Times of day are UTC, `HH:MM`.

    every: hours between backups. keep_full: full backups to keep, in place of `keep_days`.
    queue: bytes of WAL that may wait for the repository. wal_every: seconds after which WAL is sent unfilled.
    """

    hosts: tuple[str, ...]
    at: str
    every: int
    full_on: str
    keep_days: int
    keep_full: int | None
    verify_at: str
    assertions: tuple[Assertion, ...]
    second: SecondRepository | None
    queue: int
    wal_every: int
    processes: int
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
    backup: Backup | None = None


@dataclass(frozen=True)
class Stack:
    """What an environment runs.

    `images` overrides a component's image reference by name; `strategies` are the user's own;
    `protected_releases` are ids that retention spares.
    """

    name: str
    domain: str
    hosts: tuple[Host, ...]
    services: Mapping[str, Service]
    secrets: Mapping[str, SecretRule]
    components: Components
    images: Mapping[str, str]
    keep_releases: int
    strategies: Mapping[str, Strategy]
    hooks: tuple[Hook, ...] = ()
    protected_releases: tuple[str, ...] = ()
    jobs: Mapping[str, Job] = field(default_factory=dict)
