"""The part of the schema that says which alerts reach whom, and at which numbers they begin."""

from __future__ import annotations

from ..stack.model_alerts import PAGERDUTY, SEVERITIES
from .forms import NAME, SECRET, STRATEGY
from .kinds import Choice, Entries, Integer, Key, Kind, ListOf, Number, Table, Text, duration, latency, size
from .schema_hooks import ADDRESS, SERVER, TLS_MODES, URL, USER
from .schema_rules import RULE

_CA = "Declared secret with the PEM of the CA that signed the server's certificate"
_PUBLIC = "the public CAs"
_CHANNEL = Text(r"[#@][^\s]{1,79}", "a channel or a user", "'#operations'")
_RECEIVERS = ListOf(STRATEGY, least=1, distinct=True)

EMAIL = Table(
    "e-mail",
    {
        "to": Key(ListOf(ADDRESS, least=1, distinct=True), "Who gets it."),
        "from": Key(ADDRESS, "Whom it is from."),
        "server": Key(SERVER, "Mail server that takes it, with its port."),
        "tls": Key(
            Choice(TLS_MODES),
            "How the connection is encrypted: `starttls` after it was made, `implicit` from the start (port "
            "465, and only there), `none` not at all.",
            "starttls",
        ),
        "user": Key(USER, "User to log in as.", None, "no login"),
        "password_secret": Key(SECRET, "Declared secret with that user's password.", None),
        "ca_secret": Key(SECRET, f"{_CA}.", None, _PUBLIC),
    },
)

SLACK = Table(
    "Slack channel",
    {
        "url_secret": Key(SECRET, "Declared secret with the webhook's URL; Mattermost and others have them."),
        "channel": Key(_CHANNEL, "Channel, where the webhook lets one choose.", None, "the webhook's own"),
        "ca_secret": Key(SECRET, f"{_CA}.", None, _PUBLIC),
    },
)

PAGERDUTY_TABLE = Table(
    "PagerDuty service",
    {
        "key_secret": Key(SECRET, "Declared secret with the routing key of an Events API v2 integration."),
        "url": Key(URL, "Where events go; accounts in the EU have another address.", PAGERDUTY),
        "ca_secret": Key(SECRET, f"{_CA}.", None, _PUBLIC),
    },
)

WEBHOOK = Table(
    "webhook",
    {
        "url": Key(URL, "URL that Alertmanager posts its JSON to; this or `url_secret`.", None),
        "url_secret": Key(SECRET, "Declared secret with that URL, where knowing it is enough.", None),
        "token_secret": Key(SECRET, "Declared secret that is sent as a bearer token.", None),
        "ca_secret": Key(SECRET, f"{_CA}.", None, _PUBLIC),
    },
)

RECEIVER = Table(
    "receiver",
    {
        "email": Key(EMAIL, "E-mail.", None),
        "slack": Key(SLACK, "A channel of Slack, or of what is compatible with it.", None),
        "pagerduty": Key(PAGERDUTY_TABLE, "PagerDuty.", None),
        "webhook": Key(WEBHOOK, "Anything that takes an HTTP POST.", None),
    },
)

ROUTE = Table(
    "route of alerts",
    {
        "severities": Key(ListOf(Choice(SEVERITIES), distinct=True), "Only these.", [], "all"),
        "services": Key(ListOf(NAME, distinct=True), "Only alerts of these services.", [], "of anything"),
        "owners": Key(
            ListOf(STRATEGY, distinct=True), "Only alerts of services with these owners.", [], "of anybody"
        ),
        "receivers": Key(_RECEIVERS, "Who gets them, in place of `critical` and `warning`."),
    },
)

STEP = Table(
    "step of escalation",
    {
        "after": Key(duration("1m", "7d"), "How long an alert has been firing and nobody has silenced it."),
        "receivers": Key(_RECEIVERS, "Who is told then, too."),
    },
)

WATCHDOG = Table(
    "watchdog",
    {
        "receivers": Key(_RECEIVERS, "What expects a sign of life, and calls you when there is none."),
        "every": Key(duration("30s", "1d"), "How often the sign is given.", "1m"),
    },
)


UPTIME = Table(
    "sign that the site answers",
    {
        "receivers": Key(_RECEIVERS, "What expects the sign, and calls you when there is none."),
        "every": Key(duration("30s", "1d"), "How often the sign is given.", "1m"),
    },
)


def _pair(kind: Kind, title: str, warning: float | str, critical: float | str, doc: str) -> Key:
    keys = {
        "warning": Key(kind, "From here on a warning.", warning),
        "critical": Key(kind, "From here on critical.", critical),
    }
    return Key(Table(title, keys), doc, {})


_PERCENT = Number(0.1, 100)
_TIME = duration("1s", "1d")

THRESHOLDS = Table(
    "thresholds",
    {
        "cpu": _pair(_PERCENT, "CPU", 70, 85, "Percent of a host's CPU in use, for 10 minutes."),
        "memory": _pair(_PERCENT, "memory", 80, 90, "Percent of a host's memory, or a replica's limit."),
        "disk": _pair(_PERCENT, "disk", 80, 90, "Percent of a filesystem in use."),
        "errors": _pair(_PERCENT, "errors", 2, 5, "Percent of a service's requests that fail."),
        "connections": _pair(
            _PERCENT, "connections", 75, 90, "Percent of PostgreSQL's `max_connections` in use."
        ),
        "dead_rows": _pair(
            _PERCENT, "dead rows", 30, 60, "Percent of a table's rows that wait for vacuum, for 30 minutes."
        ),
        "cache_hits": _pair(
            _PERCENT, "cache hits", 50, 20, "Percent of look-ups that Redis answers; below it an alert."
        ),
        "certificate_days": _pair(
            Integer(1, 365), "days", 14, 3, "Days a certificate is still valid; below it an alert."
        ),
        "latency": _pair(
            latency("1ms", "10m"),
            "latency",
            "2s",
            "5s",
            "Time in which 95 of 100 requests of a service are answered.",
        ),
        "replica_lag": Key(size("1M", "1T"), "How far a PostgreSQL replica may be behind.", "64M"),
        "transaction": Key(_TIME, "How long a transaction may be open.", "15m"),
        "query": _pair(_TIME, "query", "5m", "30m", "How long a query runs, waits for locks left out."),
        "idle_in_transaction": _pair(
            _TIME, "idle", "5m", "30m", "How long a session does nothing in an open transaction."
        ),
        "lock_wait": _pair(_TIME, "lock wait", "30s", "5m", "How long a session waits for a lock."),
    },
)

ALERTS = Table(
    "alerts",
    {
        "receivers": Key(Entries(STRATEGY, RECEIVER), "Who can be told, by a name of your own.", {}),
        "critical": Key(ListOf(STRATEGY, distinct=True), "Who gets critical alerts.", [], "nobody"),
        "warning": Key(ListOf(STRATEGY, distinct=True), "Who gets warnings.", [], "nobody"),
        "routes": Key(ListOf(ROUTE), "Alerts that go elsewhere. The first route that fits decides.", []),
        "escalation": Key(
            ListOf(STEP), "Who is told of a critical alert that goes on and that nobody silences.", []
        ),
        "watchdog": Key(WATCHDOG, "Who is to notice that the monitoring itself is gone.", None),
        "uptime": Key(
            UPTIME,
            "Push monitors, told while every service with a route answers through one edge host or more.",
            None,
        ),
        "wait": Key(duration("1s", "5m"), "How long a first alert waits for others of its kind.", "20s"),
        "interval": Key(duration("10s", "1d"), "After which time changes of a group are told.", "5m"),
        "repeat": Key(duration("1m", "30d"), "After which time what still fires is told again.", "4h"),
        "runbooks": Key(
            URL, "URL of your checkout, which alerts put before `/docs/runbooks/…`.", None, "the path alone"
        ),
        "thresholds": Key(THRESHOLDS, "At which numbers alerts begin.", {}),
        "rules": Key(ListOf(RULE), "Alerts of your own, beside the platform's.", []),
    },
)
