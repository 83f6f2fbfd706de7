"""What can be said of one service: its keys, and those of the tables it holds."""

from __future__ import annotations

from ..stack.components import SLIPWAY_UID
from ..stack.model_service import CONTRACT, PROTOCOLS, RETRIES
from .forms import (
    DATABASE,
    DOMAIN,
    FILE,
    HEALTH,
    HOSTS,
    IMAGE,
    NAME,
    PORT,
    ROUTE_PATH,
    SECRET,
    STRATEGY,
    URL_PATH,
    VARIABLE,
    VOLUME_PATH,
    WORD,
)
from .kinds import (
    Boolean,
    Choice,
    Entries,
    Integer,
    Key,
    ListOf,
    Number,
    Scalar,
    Table,
    duration,
    latency,
    size,
)
from .schema_rollout import GATES, MOST_REPLICAS, PROBE

ROUTE = Table(
    "route",
    {
        "path": Key(
            ROUTE_PATH, "Path prefix the edge sends to the service; the longest matching prefix wins."
        ),
        "domain": Key(DOMAIN, "Domain the route belongs to.", None, "the stack's domain"),
    },
)

RATE_LIMIT = Table(
    "rate limit",
    {
        "requests": Key(Integer(1, 1_000_000), "Requests one client address may make within the window."),
        "window": Key(duration("1s", "1h"), "Length of the sliding window.", "1m"),
    },
)

RESOURCES = Table(
    "resources",
    {
        "cpus": Key(Number(0.05, 256), "CPU cores one replica may use.", 0.5),
        "memory": Key(
            size("16M", "4T"), "Memory one replica may use; above it, it is killed and restarted.", "256M"
        ),
    },
)

SCALE = Table(
    "scale",
    {
        "min": Key(Integer(0, MOST_REPLICAS), "Fewest replicas on each host.", 0),
        "max": Key(Integer(1, MOST_REPLICAS), "Most replicas on each host.", MOST_REPLICAS),
    },
)

# At 95 % an alert that wants 14.4 times what is allowed still can fire: 72 % of all requests.
_OBJECTIVE = Number(95, 99.999)

SLO = Table(
    "service level objective",
    {
        "availability": Key(
            _OBJECTIVE, "Percent of the requests that are answered, and not with 5xx.", None, "not promised"
        ),
        "latency": Key(
            Table(
                "latency objective",
                {
                    "percent": Key(_OBJECTIVE, "Percent of the requests that are answered in time."),
                    "within": Key(
                        latency("5ms", "30s"), "That time; one of those that the edge tells apart."
                    ),
                },
            ),
            "How fast it answers. Not for websocket services.",
            None,
            "not promised",
        ),
        "window": Key(
            duration("7d", "90d"), "Time over which both are meant; no longer than metrics are kept.", "30d"
        ),
    },
)

SERVICE = Table(
    "service",
    {
        "image": Key(IMAGE, "Image to run; either this or `build`.", None),
        "build": Key(
            FILE, "Folder with the Dockerfile to build the image from; either this or `image`.", None
        ),
        "command": Key(ListOf(WORD), "Arguments in place of the image's own command.", []),
        "port": Key(
            PORT,
            "Port the service listens on inside its container.",
            None,
            "none: it is a worker, to which nobody sends anything",
        ),
        "protocol": Key(Choice(PROTOCOLS), "What it speaks on that port.", None, "`http`"),
        "health_path": Key(
            HEALTH,
            "What answers 200 once a replica is ready; for grpc, the service name to ask for.",
            None,
            "**required** with a port",
        ),
        "health_command": Key(
            ListOf(WORD),
            "For a worker: command that ends with 0 inside its container while all is well, asked every 10 "
            "seconds; the first time makes it ready.",
            [],
        ),
        "settle": Key(
            duration("1s", "10m"),
            "For a worker without `health_command`: how long it must run without a restart to be ready.",
            "5s",
        ),
        "replicas": Key(Integer(0, MOST_REPLICAS), "Replicas on each of the service's hosts.", 2),
        "scale": Key(SCALE, "Bounds of `replicas`, which `playbooks/scale.yml` keeps to.", {}),
        "hosts": Key(HOSTS, "Hosts that run the service.", None, "every host"),
        "route": Key(
            ROUTE,
            "What the edge sends to the service. Without a route it is reachable from other services only.",
            None,
        ),
        "rate_limit": Key(RATE_LIMIT, "Limit per client address at the edge, answered with 429.", None),
        "resources": Key(RESOURCES, "Limits of one replica.", {}),
        "environment": Key(
            Entries(VARIABLE, Scalar("true", "false")),
            "Variables of the container. Never secrets: anyone who may inspect a container reads these.",
            {},
        ),
        "secrets": Key(
            ListOf(SECRET, distinct=True),
            "Declared secrets the service gets as files `/run/secrets/<name>`, named by `<NAME>_FILE`.",
            [],
        ),
        "secrets_in_environment": Key(
            ListOf(SECRET, distinct=True),
            "Those of its secrets an application can only read from the environment: set as `<NAME>` for the "
            "process alone, invisible to `docker inspect`. Needs a shell in the image and `command`, the "
            "whole command line.",
            [],
        ),
        "database": Key(
            DATABASE, "PostgreSQL database, and the user of the same name, made for the service.", None
        ),
        "migrations": Key(
            FILE, "Folder of `000001_name.up.sql` and `.down.sql` files for that database.", None
        ),
        "contract": Key(
            Choice(CONTRACT),
            "When migrations run that only the new release can live with: in the release, once its watch "
            "window has passed, or with `playbooks/contract.yml`.",
            CONTRACT[0],
        ),
        "redis": Key(Boolean(), "Whether the service uses Redis.", False),
        "volumes": Key(
            Entries(NAME, VOLUME_PATH),
            "Data it keeps on each of its hosts: volumes by name, and where they are mounted. Old and new "
            "replicas never share one, so the strategy must stop first.",
            {},
        ),
        "metrics_path": Key(URL_PATH, "Path of its Prometheus metrics, on its port.", None, "not scraped"),
        "user": Key(
            Integer(1, 65533), "Numeric user the container runs as; root is not offered.", SLIPWAY_UID
        ),
        "drain": Key(
            duration("0s", "1h"),
            "Time a replica gets to end what it has begun before it is killed.",
            "30s",
        ),
        "start_timeout": Key(duration("1s", "1h"), "Time a replica gets to become ready.", "60s"),
        "retry": Key(
            Choice(RETRIES),
            "What is sent again, to another replica, when a connection breaks. `unsent`: what never reached "
            "a replica. `reads`: also GET and HEAD requests that had no byte of an answer yet. Say `unsent` "
            "where such a request changes something, or may bring a replica down.",
            "reads",
        ),
        "publish_base": Key(
            Integer(1024, 65535),
            "First of the ports (twice `replicas`) it is published on, on its hosts' private addresses. To "
            "the other hosts the firewall opens twice as many as `scale` allows.",
            None,
            "from 20000 to 32699, by the service's name",
        ),
        "strategy": Key(
            STRATEGY,
            "How a release replaces the one before: `rolling`, `blue_green`, `canary`, `recreate`, "
            "`stop_first`, or one of `stack/strategies`. `stop_first` is for what must never run more often "
            "than `replicas` says. A worker's has no shares.",
            "rolling",
        ),
        "gates": Key(GATES, "What a new release must keep to while it is judged.", {}),
        "probes": Key(
            ListOf(PROBE),
            "What every new replica is asked through every edge host before it gets traffic, and again while "
            "it is judged; `[]`: nothing. A grpc service is always asked for its health.",
            None,
            "its `health_path`, of services with a route",
        ),
        "sticky": Key(
            Boolean(),
            "Whether a user, by a cookie, sees one version only while two share the traffic. For http "
            "services with a route.",
            False,
        ),
        "slo": Key(
            SLO,
            "What it promises its clients: there are alerts when its error budget is spent too fast, and no "
            "release once it is gone. Needs a route.",
            None,
        ),
        "owner": Key(
            STRATEGY, "Whom its alerts are for; a name that `monitoring/alerts/routes` use.", None, "nobody"
        ),
    },
)
