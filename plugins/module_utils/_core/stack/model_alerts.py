"""Which alerts reach whom, and at which numbers they begin, as declared; values only.

Names that end in `_secret` are those of declared secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("critical", "warning")
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


@dataclass(frozen=True)
class AlertEmail:
    """`server` is host:port; `tls` one of starttls, implicit and none."""

    to: tuple[str, ...]
    sender: str
    server: str
    tls: str
    user: str | None
    password_secret: str | None
    ca_secret: str | None


@dataclass(frozen=True)
class Slack:
    url_secret: str
    channel: str | None
    ca_secret: str | None


@dataclass(frozen=True)
class PagerDuty:
    key_secret: str
    url: str
    ca_secret: str | None


@dataclass(frozen=True)
class AlertWebhook:
    """One of `url` and `url_secret` is set."""

    url: str | None
    url_secret: str | None
    token_secret: str | None
    ca_secret: str | None


@dataclass(frozen=True)
class Receiver:
    """One or more ways to reach somebody."""

    email: AlertEmail | None = None
    slack: Slack | None = None
    pagerduty: PagerDuty | None = None
    webhook: AlertWebhook | None = None


@dataclass(frozen=True)
class AlertRoute:
    """Alerts that go to receivers of their own; an empty tuple stands for all."""

    severities: tuple[str, ...]
    services: tuple[str, ...]
    owners: tuple[str, ...]
    receivers: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """Who is told when an alert has fired for `after` seconds and nobody has silenced it."""

    after: int
    receivers: tuple[str, ...]


@dataclass(frozen=True)
class Watchdog:
    """A sign of life every so many seconds."""

    receivers: tuple[str, ...]
    every: int


@dataclass(frozen=True)
class Pair:
    """Where a warning begins, and where it is critical."""

    warning: float
    critical: float


@dataclass(frozen=True)
class Thresholds:
    """Percent, but `latency` in milliseconds, `replica_lag` in bytes, and seconds from `transaction` on."""

    cpu: Pair = Pair(70, 85)
    memory: Pair = Pair(80, 90)
    disk: Pair = Pair(80, 90)
    errors: Pair = Pair(2, 5)
    connections: Pair = Pair(75, 90)
    dead_rows: Pair = Pair(30, 60)
    cache_hits: Pair = Pair(50, 20)
    certificate_days: Pair = Pair(14, 3)
    latency: Pair = Pair(2000, 5000)
    replica_lag: int = 64 << 20
    transaction: int = 900
    query: Pair = Pair(300, 1800)
    idle_in_transaction: Pair = Pair(300, 1800)
    lock_wait: Pair = Pair(30, 300)


@dataclass(frozen=True)
class Rule:
    """An alert of the user's own. lasts: seconds that it must; goes_on: seconds that it does afterwards.

    runbook: a URL, or the path of a file. dashboard: None stands for the one that fits.
    """

    name: str
    expr: str
    lasts: int
    severity: str
    summary: str
    runbook: str
    service: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    goes_on: int = 0
    dashboard: str | None = None


@dataclass(frozen=True)
class Alerts:
    """The whole of it. `wait`, `interval` and `repeat` are seconds."""

    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    critical: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    routes: tuple[AlertRoute, ...] = ()
    escalation: tuple[Step, ...] = ()
    watchdog: Watchdog | None = None
    uptime: Watchdog | None = None
    wait: int = 20
    interval: int = 300
    repeat: int = 14400
    runbooks: str | None = None
    thresholds: Thresholds = Thresholds()
    rules: tuple[Rule, ...] = ()


def alerts_from(given: Mapping[str, Any]) -> Alerts:
    """From what the schema has read."""
    signs = {name: Watchdog(**it) if (it := given[name]) else None for name in ("watchdog", "uptime")}
    computed = {
        "receivers": {name: _receiver(one) for name, one in given["receivers"].items()},
        "routes": tuple(AlertRoute(**route) for route in given["routes"]),
        "escalation": tuple(Step(**step) for step in given["escalation"]),
        **signs,
        "thresholds": _thresholds(given["thresholds"]),
        "rules": tuple(map(_rule, given["rules"])),
    }
    return Alerts(**{**given, **computed})


def _receiver(given: Mapping[str, Any]) -> Receiver:
    mail, slack, pager, hook = (given[key] for key in ("email", "slack", "pagerduty", "webhook"))
    named = {**mail, "sender": mail["from"]} if mail else {}
    named.pop("from", None)
    return Receiver(
        email=AlertEmail(**named) if mail else None,
        slack=Slack(**slack) if slack else None,
        pagerduty=PagerDuty(**pager) if pager else None,
        webhook=AlertWebhook(**hook) if hook else None,
    )


def _rule(given: Mapping[str, Any]) -> Rule:
    named = {"for": "lasts", "keep_firing_for": "goes_on", "runbook_url": "runbook"}
    return Rule(**{named.get(key, key): value for key, value in given.items()})


def _thresholds(given: Mapping[str, Any]) -> Thresholds:
    read: dict[str, Any] = {name: Pair(**it) if isinstance(it, Mapping) else it for name, it in given.items()}
    return Thresholds(**read)
