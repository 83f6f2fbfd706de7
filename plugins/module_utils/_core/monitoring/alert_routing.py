"""What Alertmanager and Prometheus are told of who gets which alerts: decided here, printed by templates.

Alertmanager knows no acknowledgement. A step of escalation is an alert of its own (rules/escalation.yml),
which Prometheus sends under the name and the labels of the alert it is about, and one label more. So what
silences or inhibits that alert does the same to its escalation: docs/decisions/0021.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..stack.model import Stack
from ..stack.model_alerts import SEVERITIES, Alerts, Receiver, Watchdog
from ..stack.model_service import Service
from .alert_faults import secrets_of, used

NOBODY = "nobody"
WATCHDOG = "Watchdog"
UPTIME = "SiteAnswers"
# Alerts that say that all is well, by the setting that names who expects them.
SIGNS = {"watchdog": WATCHDOG, "uptime": UPTIME}
SECRETS = "secrets"


@dataclass(frozen=True)
class Branch:
    """A route: all `matchers` fit -> `audience`, one of `Routing.audiences` or NOBODY. Times in seconds."""

    matchers: tuple[str, ...]
    audience: str
    wait: int
    interval: int
    repeat: int


@dataclass(frozen=True)
class Routing:
    """The branches in order, the first that fits decides; and who an audience is."""

    branches: tuple[Branch, ...]
    audiences: Mapping[str, tuple[Receiver, ...]]


def routing(alerts: Alerts) -> Routing:
    def branch(matchers: Sequence[str], names: Sequence[str]) -> Branch:
        return Branch(tuple(matchers), audience(names), alerts.wait, alerts.interval, alerts.repeat)

    branches = [_sign(WATCHDOG, alerts.watchdog)]
    # Its rule is there only with the setting.
    branches += [_sign(UPTIME, alerts.uptime)] if alerts.uptime else []
    branches += [
        branch([matcher("escalation", [str(number)])], step.receivers)
        for number, step in enumerate(alerts.escalation, start=1)
    ]
    for route in alerts.routes:
        chosen = {"severity": route.severities, "service": route.services, "owner": route.owners}
        branches.append(branch([matcher(label, it) for label, it in chosen.items() if it], route.receivers))
    branches += [branch([matcher("severity", [it])], getattr(alerts, it)) for it in SEVERITIES]
    named = {
        audience(it): it for place, it in used(alerts).items() if it and not place.startswith(tuple(SIGNS))
    }
    named |= {name: sign.receivers for key, name in SIGNS.items() if (sign := getattr(alerts, key))}
    told = {name: tuple(alerts.receivers[it] for it in names) for name, names in named.items()}
    return Routing(tuple(branches), told)


def _sign(name: str, expected: Watchdog | None) -> Branch:
    # An audience of its own, which is not told of an end. No receiver of the user's has a capital letter.
    told, every = (name, expected.every) if expected else (NOBODY, 3600)
    # It repeats at the first interval after this: equal to it, it would miss every second one.
    return Branch((matcher("alertname", [name]),), told, 0, every, every * 4 // 5)


def audience(names: Sequence[str]) -> str:
    """What a set of receivers is called in Alertmanager."""
    return "+".join(names) or NOBODY


def matcher(label: str, values: Sequence[str]) -> str:
    """Alertmanager's matcher for one of some values: names, in which nothing needs escaping."""
    if len(values) == 1:
        return f"{label} = {json.dumps(values[0])}"
    return f"{label} =~ {json.dumps('|'.join(values))}"


def owners(services: Mapping[str, Service]) -> dict[str, list[str]]:
    """Services by owner."""
    found: dict[str, list[str]] = {}
    for service in services.values():
        if service.owner:
            found.setdefault(service.owner, []).append(service.name)
    return found


def secret_names(alerts: Alerts) -> list[str]:
    """Secrets that Alertmanager reads, each from a file below SECRETS."""
    return sorted({name for receiver in alerts.receivers.values() for name in secrets_of(receiver).values()})


def unheard(stack: Stack) -> list[str]:
    """What is legal and yet leaves alerts without a listener, to warn of."""
    alerts, path = stack.components.monitoring.alerts, "stack.components.monitoring.alerts"
    silent = [it for it in SEVERITIES if not getattr(alerts, it)]
    if not alerts.receivers:
        return [f"Alerts reach nobody: name receivers in {path}, see docs/alerts.md."]
    found = [f"Alerts that are {it} reach nobody unless a route fits: {path}.{it} is empty." for it in silent]
    if not alerts.watchdog:
        found.append(f"Nobody would notice that the monitoring itself is gone: {path}.watchdog is not set.")
    return found
