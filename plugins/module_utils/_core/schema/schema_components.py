"""The part of the schema that describes what the platform supplies."""

from __future__ import annotations

from ..stack.model_alerts import SEVERITIES
from ..stack.postgres_version import NEWEST, OLDEST
from .forms import (
    ACCOUNT,
    DOMAIN,
    ENVIRONMENT,
    FILE,
    HEADER,
    HOSTS,
    KEEPER,
    NAME,
    NETWORK,
    ORIGIN,
    PARAMETER,
    PORT,
    SECRET,
)
from .kinds import (
    Boolean,
    Choice,
    Entries,
    Integer,
    Key,
    ListOf,
    Mode,
    Scalar,
    Table,
    duration,
    latency,
    size,
)
from .schema_alerts import ALERTS
from .schema_backup import BACKUP
from .schema_hooks import URL
from .schema_integrations import REMOTE_WRITE
from .schema_logs import LOGS

CONTENT_SECURITY_POLICY = (
    # A browser counts wss:// to the page's own host as 'self' in connect-src.
    "default-src 'self'; connect-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)

TLS = Table(
    "certificate",
    {
        "certificate": Key(FILE, "PEM file on the control node: the certificate, then its chain.", None),
        "key": Key(FILE, "PEM file on the control node: its private key, without a passphrase.", None),
    },
)

CORS = Table(
    "cross-origin rule",
    {
        "origins": Key(
            ListOf(ORIGIN, distinct=True), "Origins whose pages may call the stack from a browser.", []
        )
    },
)

EDGE = Table(
    "edge",
    {
        "hosts": Key(HOSTS, "Hosts clients connect to.", None, "the first two hosts"),
        "http_port": Key(PORT, "Port that redirects to HTTPS.", 80),
        "https_port": Key(PORT, "Port that serves HTTPS.", 443),
        "public_https_port": Key(
            PORT, "HTTPS port clients use, where something in front translates it.", None, "`https_port`"
        ),
        "tls": Key(
            TLS, "Certificate clients see, where it is not to be signed by the environment's own CA.", {}
        ),
        "hsts_max_age": Key(
            duration("0s", "3650d"), "How long browsers insist on HTTPS after a visit.", "730d"
        ),
        "content_security_policy": Key(
            HEADER,
            "Content-Security-Policy of answers that have none. The default allows what comes from the stack "
            "itself: scripts, styles, requests and WebSockets.",
            CONTENT_SECURITY_POLICY,
        ),
        "cors": Key(CORS, "Who may call the stack from other origins.", {}),
        "max_body": Key(size("1K", "100G"), "Largest request body; above it, 413.", "10M"),
    },
)

REGISTRY = Table(
    "registry",
    {
        "hosts": Key(HOSTS, "Host that keeps the environment's images.", None, KEEPER),
        "port": Key(PORT, "Port of the registry.", 5000),
    },
)

ETCD = Table(
    "etcd",
    {
        "hosts": Key(
            HOSTS,
            "Hosts that vote on who leads PostgreSQL: an odd number.",
            None,
            "the first three hosts; the first alone if there are fewer",
        )
    },
)

OTHER_SITE = Table(
    "other site",
    {
        "environment": Key(ENVIRONMENT, "The other environment of the inventory; its stack names this one."),
        "follow": Key(
            Boolean(),
            "Whether this site begins as the standby of the other: its databases are copied from there, its "
            "passwords are the other's, its services are at rest. Which of the two serves is decided by "
            "playbooks/site_failover.yml and site_failback.yml afterwards, and by no deployment.",
            False,
        ),
    },
)

POSTGRES = Table(
    "postgres",
    {
        "version": Key(
            Integer(OLDEST, NEWEST),
            "Major version of PostgreSQL. Another one than the databases have: "
            "docs/runbooks/postgres-major-upgrade.md comes first; members refuse to start otherwise.",
            OLDEST,
        ),
        "hosts": Key(
            HOSTS,
            "Hosts that hold the databases: one leads, the others replicate.",
            None,
            "the first three hosts",
        ),
        "parameters": Key(
            Entries(PARAMETER, Scalar("on", "off")), "PostgreSQL parameters, as in postgresql.conf.", {}
        ),
        "max_connections": Key(Integer(20, 10_000), "Connections PostgreSQL accepts.", 200),
        "pool_size": Key(Integer(1, 1000), "Server connections pgBouncer opens per database.", 20),
        "synchronous": Key(
            Boolean(), "Whether a commit waits for a replica, so that a failover loses nothing.", True
        ),
        "max_replica_lag": Key(
            size("1M", "1T"), "How far behind a replica may be and still serve reads or take over.", "16M"
        ),
        "memory": Key(size("128M", "4T"), "Memory of one member.", "512M"),
        "watchdog": Key(
            Mode(("automatic", "required")),
            "Whether the host's watchdog resets it, with all on it, when the leader's Patroni hangs."
            " `automatic`: where there is `/dev/watchdog`. `required`: a host without one is refused.",
            "off",
        ),
        "other_site": Key(
            OTHER_SITE,
            "A second site that follows this one, or that this one follows. Absent: there is none.",
            None,
        ),
    },
    may_be_off=True,
)

REDIS = Table(
    "redis",
    {
        "hosts": Key(
            HOSTS,
            "Hosts that hold Redis: one leads, others replicate, all watch.",
            None,
            "the first three hosts",
        ),
        "max_memory": Key(size("16M", "4T"), "Memory for data; when it is full, keys are evicted.", "256M"),
        "eviction": Key(
            Choice(
                (
                    "allkeys-lru",
                    "allkeys-lfu",
                    "allkeys-random",
                    "volatile-lru",
                    "volatile-lfu",
                    "volatile-random",
                    "volatile-ttl",
                    "noeviction",
                )
            ),
            "Which keys are evicted then.",
            "allkeys-lru",
        ),
    },
    may_be_off=True,
)

THIRD_PARTY = Table(
    "third party",
    {
        "url": Key(URL, "URL that the monitoring hosts ask. No redirect is followed."),
        "method": Key(Choice(("GET", "HEAD")), "How it is asked. Only the head of an answer is read.", "GET"),
        "expect": Key(Integer(200, 599), "The status of a good answer.", 200),
        "every": Key(duration("15s", "1d"), "How often it is asked, by each monitoring host.", "1m"),
        "within": Key(latency("100ms", "1m"), "Time after which an answer counts as none.", "10s"),
        "slow": Key(latency("10ms", "1m"), "Time after which an answer is slow.", "2s"),
        "few": Key(
            Integer(1, 1_000_000_000),
            "Requests left, as its rate-limit headers say, below which there is a warning.",
            None,
            "a warning when none is left, or at status 429",
        ),
        "authorization_secret": Key(
            SECRET,
            "Declared secret that is sent as the whole `Authorization` header, `Bearer …` for example.",
            None,
        ),
        "severity": Key(
            Choice(SEVERITIES),
            "How bad it is that it is away or refuses requests. `critical`: users suffer from it.",
            "warning",
        ),
    },
)

MONITORING = Table(
    "monitoring",
    {
        "hosts": Key(HOSTS, "Hosts that run Prometheus, Alertmanager and the prober.", None, KEEPER),
        "retention": Key(duration("1h", "3650d"), "How long metrics are kept.", "30d"),
        "alerts": Key(ALERTS, "Who is told of what, and at which numbers alerts begin.", {}),
        "outside": Key(
            Entries(NAME, THIRD_PARTY), "What others run and you need, by a name of your own.", {}
        ),
        "remote_write": Key(
            Entries(NAME, REMOTE_WRITE), "Who gets the metrics as well, by a name of your own.", {}
        ),
    },
)

CONSOLE = Table(
    "console",
    {
        "domain": Key(
            DOMAIN, "Where it is reached, through the edge.", None, "`ops.` before the stack's domain"
        ),
        "networks": Key(
            ListOf(NETWORK, distinct=True),
            "Networks whose clients may ask for it; others are refused before they are asked who they are.",
            [],
            "all",
        ),
        "users": Key(
            Entries(ACCOUNT, SECRET),
            "Who may log in, each with the declared secret that holds the hash of the password, as "
            "`openssl passwd -6` writes it.",
            {},
            "`operator`, whose password is generated: `platform/console_password` in the secrets file",
        ),
        "dashboards": Key(
            ListOf(FILE, distinct=True), "Files of dashboards of your own, beside the platform's.", []
        ),
    },
    may_be_off=True,
)

COMPONENT_SETTINGS = Table(
    "components",
    {
        "edge": Key(EDGE, "nginx and HAProxy, where clients arrive.", {}),
        "registry": Key(REGISTRY, "The environment's own image registry.", {}),
        "etcd": Key(ETCD, "The vote behind PostgreSQL's leader.", {}),
        "postgres": Key(
            POSTGRES, "PostgreSQL under Patroni, with pgBouncer; `false` leaves it out, and etcd with it.", {}
        ),
        "redis": Key(REDIS, "Redis with Sentinel; `false` leaves it out.", {}),
        "monitoring": Key(MONITORING, "Prometheus and Alertmanager.", {}),
        "backup": Key(BACKUP, "Backups of PostgreSQL, and their proof. Absent: there are none.", None),
        "logs": Key(
            LOGS,
            "One place for what all hosts and containers say. Absent: each host keeps what its containers "
            "said.",
            None,
        ),
        "console": Key(
            CONSOLE,
            "One address with a login that shows health, dashboards, alerts and logs. It is left out as well "
            "where the edge has a certificate of yours that does not cover `ops.` before the stack's domain.",
            {},
        ),
    },
)
