"""What users see of each service, from the alerts that fire; and whom that is yet to be told.

Decisions only. Stands on the first monitoring host, beside `availability_work`: needs nothing but Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

UP, DEGRADED, DOWN = "up", "degraded", "down"
_WORSE = (UP, DEGRADED, DOWN)
_SIGNS = {UP: "✔", DEGRADED: "▲", DOWN: "✘"}
# An alert that waits begins anew when Prometheus does: a short absence of it is no recovery.
SETTLED = 90.0
# That rules are evaluated at all.
ALIVE = "Watchdog"
_DOWN = ("ServiceDown",)
_DEGRADED = ("ErrorBudgetBurning", "HighErrorRate", "RouteUnreachable", "SlowResponses")
_ALL_DOWN = "SiteDown"
_UNREACHABLE = "RouteUnreachable"
_CRITICAL = "critical"
_SLOWEST = 300.0


@dataclass(frozen=True)
class Listener:
    """Whom to tell, as the release lists it. identity: what it is remembered by. secret: to sign with."""

    identity: str
    on: tuple[str, ...]
    url: str
    format: str
    secret: str


@dataclass(frozen=True)
class Seen:
    """A service as it is seen. since: seconds since the epoch."""

    state: str = UP
    since: float = 0.0
    alerts: tuple[str, ...] = ()
    better_since: float | None = None


@dataclass
class Account:
    """What one listener was told of each service, and when it is to be tried again."""

    told: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    due: float = 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        self.due = now + min(15.0 * 2 ** (self.failures - 1), _SLOWEST)

    def worked(self, service: str, state: str) -> None:
        self.failures, self.due = 0, 0.0
        self.told[service] = state


def fares(
    firing: Sequence[Mapping[str, str]], services: Sequence[str], edges: int
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By service its state, and the critical alerts that say so. firing: labels of all that fire."""
    critical = [it for it in firing if it.get("severity") == _CRITICAL and not it.get("escalation")]
    site = [it["alertname"] for it in critical if it["alertname"] == _ALL_DOWN]
    found = {}
    for service in services:
        own = [it["alertname"] for it in critical if it.get("service") == service]
        down = [*site, *(name for name in own if name in _DOWN)]
        if own.count(_UNREACHABLE) >= edges:
            down.append(_UNREACHABLE)
        worse = [name for name in own if name in _DEGRADED]
        state = DOWN if down else DEGRADED if worse else UP
        found[service] = (state, tuple(sorted({*down, *worse})))
    return found


def seen(before: Seen, state: str, alerts: tuple[str, ...], now: float) -> Seen:
    """What is believed: the worse at once, the better when it has lasted."""
    if state == before.state:
        return replace(before, alerts=alerts, better_since=None)
    if _WORSE.index(state) > _WORSE.index(before.state):
        return Seen(state, now, alerts)
    since = now if before.better_since is None else before.better_since
    return Seen(state, since, alerts) if now - since >= SETTLED else replace(before, better_since=since)


def untold(account: Account, listener: Listener, services: Mapping[str, Seen]) -> Iterator[tuple[str, str]]:
    """Services of whose state the listener has yet to be told, and the one that it knows of."""
    for name, one in services.items():
        known = account.told.get(name, UP)
        if known != one.state:
            if one.state in listener.on:
                yield name, known
            elif one.state == UP:
                # Who does not want to hear of it wants to hear of the next fault.
                account.told[name] = UP


def payload(where: Mapping[str, str], name: str, one: Seen, before: str) -> dict[str, Any]:
    """What is posted as JSON; docs/integrations.md has its schema."""
    since = datetime.fromtimestamp(one.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    why = f": {', '.join(one.alerts)}" if one.alerts else ""
    place = f"{where['stack']} {where['environment']}".strip()
    again = " again" if one.state == UP else ""
    return {
        "event": one.state,
        "text": f"{_SIGNS[one.state]} {place}: {name} is {one.state}{again} since {since}{why}",
        "service": {
            **where,
            "name": name,
            "state": one.state,
            "before": before,
            "since": since,
            "alerts": list(one.alerts),
        },
    }


def identity(where: Mapping[str, str], name: str, one: Seen) -> str:
    return f"{where['stack']}-{name}-{one.state}-{one.since:.0f}"


def remembered(services: Mapping[str, Seen], accounts: Mapping[str, Account]) -> str:
    """For the next start of the program."""
    kept = {
        "services": {name: {"state": it.state, "since": it.since} for name, it in services.items()},
        "told": {name: it.told for name, it in accounts.items()},
    }
    return json.dumps(kept, indent=1, sort_keys=True) + "\n"


def recalled(text: str) -> tuple[dict[str, Seen], dict[str, Account]]:
    kept = json.loads(text)
    services = {name: Seen(str(it["state"]), float(it["since"])) for name, it in kept["services"].items()}
    return services, {name: Account(dict(told)) for name, told in kept["told"].items()}
