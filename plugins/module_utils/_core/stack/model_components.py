"""What the platform supplies to a stack, as declared: the settings of its components; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model_alerts import Alerts
from .model_integrations import Export, LogExport, RemoteWrite
from .postgres_version import OLDEST, Place

# Bytes of a span in the store; its sentences are short and alike, its ids are random.
_SPAN = 200


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
class OtherSite:
    """The environment this one forms a pair with. follow: whether this one begins as its standby.

    members: addresses of the other one's PostgreSQL hosts; () until its inventory has been read.
    """

    environment: str
    follow: bool
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Postgres:
    hosts: tuple[str, ...]
    parameters: Mapping[str, str]
    max_connections: int
    pool_size: int
    synchronous: bool
    max_replica_lag: int
    memory: int
    watchdog: str = "off"
    other_site: OtherSite | None = None
    version: int = OLDEST

    @property
    def place(self) -> Place:
        return Place(self.version)


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
    """Where every backup, all WAL and every archive goes, too. One of `s3` and `sftp` is set."""

    path: str
    s3: S3 | None
    sftp: Sftp | None


@dataclass(frozen=True)
class Archive:
    """What is kept beside the databases: Redis, configuration and secrets, some volumes. at: `HH:MM`, UTC."""

    at: str
    keep_days: int
    volumes: tuple[str, ...]


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
    archive: Archive | None = None

    @property
    def most_age(self) -> int:
        """Hours that the newest backup may be old: two more than until the next one is due."""
        return self.every + 2


@dataclass(frozen=True)
class Redis:
    hosts: tuple[str, ...]
    max_memory: int
    eviction: str


@dataclass(frozen=True)
class ThirdParty:
    """What the stack needs of others. every: seconds; within, slow: milliseconds.

    few: requests left in a window, below which there is a warning. authorization_secret: a declared secret.
    """

    url: str
    method: str
    expect: int
    every: int
    within: int
    slow: int
    few: int | None
    authorization_secret: str | None
    severity: str


@dataclass(frozen=True)
class Monitoring:
    """Prometheus, Alertmanager and the blackbox prober; exporters stand beside what they watch.

    outside: by the user's own names, what the monitoring hosts ask. remote_write: who gets the metrics, too.
    """

    hosts: tuple[str, ...]
    retention: int
    alerts: Alerts = field(default_factory=Alerts)
    outside: Mapping[str, ThirdParty] = field(default_factory=dict)
    remote_write: Mapping[str, RemoteWrite] = field(default_factory=dict)


@dataclass(frozen=True)
class Traces:
    """What is kept of requests' ways. share: percent. slow, wait: milliseconds.

    retention: seconds. disk, memory: bytes. most: spans that are kept in a second; None: as `disk` has room.
    """

    share: int
    slow: int
    wait: int
    retention: int
    disk: int
    memory: int
    exports: Mapping[str, Export] = field(default_factory=dict)
    most: int | None = None

    @property
    def most_kept(self) -> int:
        """Spans a second. The store deletes nothing of today and yesterday, which must find room."""
        return self.most or max(1, self.disk // (3 * 86_400 * _SPAN))


@dataclass(frozen=True)
class Logs:
    """Where the lines of all hosts and containers are kept. Times in seconds, sizes in bytes.

    disk: most that the ordinary store takes. buffer: most that a host's journal takes, and so what may wait.
    exports: who else gets them, by name.
    """

    hosts: tuple[str, ...]
    retention: int
    audit_retention: int
    disk: int
    buffer: int
    memory: int
    traces: Traces | None = None
    exports: Mapping[str, LogExport] = field(default_factory=dict)


@dataclass(frozen=True)
class Console:
    """The one address that shows health, dashboards, alerts and logs.

    networks: whose clients may ask for it; empty: all. users: name -> declared secret with the hash of a
    password; empty: one user with a generated password. dashboards: files on the control node.
    """

    domain: str
    networks: tuple[str, ...]
    users: Mapping[str, str]
    dashboards: tuple[str, ...]


@dataclass(frozen=True)
class Components:
    edge: Edge
    registry: Registry
    etcd: Etcd
    postgres: Postgres | None
    redis: Redis | None
    monitoring: Monitoring
    backup: Backup | None = None
    logs: Logs | None = None
    console: Console | None = None
