"""Rules of `stack/components/monitoring/alerts`: what would reach nobody, or cannot work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ..errors import Problem
from ..stack.model import Stack
from ..stack.model_alerts import AlertEmail, Alerts, Pair, Receiver
from ..webhooks import SECRET_URLS
from ..wording import did_you_mean, listed

PATH = "stack/components/monitoring/alerts"
_IMPLICIT = 465
# A higher number is worse, but for these.
_LOWER_IS_WORSE = ("cache_hits", "certificate_days")


def alert_faults(stack: Stack) -> Iterator[Problem]:
    alerts = stack.components.monitoring.alerts
    yield from _names(alerts)
    yield from _routes(alerts, stack)
    yield from _escalation(alerts)
    yield from _thresholds(alerts)
    if alerts.uptime and not any(it.route for it in stack.services.values()):
        yield Problem(f"{PATH}/uptime", "has nothing to tell: no service has a route", "Remove it")
    for name, receiver in alerts.receivers.items():
        yield from _receiver(receiver, f"{PATH}/receivers/{name}", stack)


def used(alerts: Alerts) -> dict[str, tuple[str, ...]]:
    """Where receivers are named: path below `alerts` -> their names."""
    places = {"critical": alerts.critical, "warning": alerts.warning}
    places |= {f"routes/{index}/receivers": it.receivers for index, it in enumerate(alerts.routes)}
    places |= {f"escalation/{index}/receivers": it.receivers for index, it in enumerate(alerts.escalation)}
    signs = {"watchdog": alerts.watchdog, "uptime": alerts.uptime}
    return places | {f"{name}/receivers": it.receivers for name, it in signs.items() if it}


def _names(alerts: Alerts) -> Iterator[Problem]:
    places = used(alerts)
    for place, names in places.items():
        for index, name in enumerate(names):
            if name and name not in alerts.receivers:
                known = listed(alerts.receivers) or "none yet"
                remedy = f"{did_you_mean(name, alerts.receivers)}Declare it under {PATH}/receivers: {known}"
                yield Problem(f"{PATH}/{place}/{index}", f"{name} is not a receiver", remedy)
    for name in alerts.receivers:
        if not any(name in names for names in places.values()):
            remedy = "Name it in critical, warning, routes, escalation, watchdog or uptime; or remove it"
            yield Problem(f"{PATH}/receivers/{name}", "gets no alert", remedy)


def _routes(alerts: Alerts, stack: Stack) -> Iterator[Problem]:
    owners = {service.owner for service in stack.services.values() if service.owner}
    for index, route in enumerate(alerts.routes):
        path = f"{PATH}/routes/{index}"
        if not (route.severities or route.services or route.owners):
            remedy = "Say which severities, services or owners; all alerts go by critical and warning"
            yield Problem(path, "fits every alert, so nothing after it is reached", remedy)
        named = (("services", route.services, stack.services), ("owners", route.owners, owners))
        for kind, names, known in named:
            for at, name in enumerate(names):
                if name and name not in known:
                    noun = "is not a service" if kind == "services" else "owns no service"
                    remedy = f"{did_you_mean(name, known)}Known: {listed(sorted(known)) or 'none'}"
                    yield Problem(f"{path}/{kind}/{at}", f"{name} {noun}", remedy)


def _escalation(alerts: Alerts) -> Iterator[Problem]:
    path = f"{PATH}/escalation"
    told = alerts.critical or any("warning" not in it.severities for it in alerts.routes)
    if alerts.escalation and not told:
        remedy = f"Name who is told first in {PATH}/critical"
        yield Problem(path, "escalates alerts that nobody was told of", remedy)
    for index, (one, two) in enumerate(zip(alerts.escalation, alerts.escalation[1:], strict=False), start=1):
        if two.after and two.after <= one.after:
            yield Problem(f"{path}/{index}/after", "is not later than the step before", "Put steps in order")


def _thresholds(alerts: Alerts) -> Iterator[Problem]:
    pairs = {name: it for name, it in vars(alerts.thresholds).items() if isinstance(it, Pair)}
    for name, pair in pairs.items():
        sign = -1 if name in _LOWER_IS_WORSE else 1
        if sign * pair.warning >= sign * pair.critical:
            problem = f"is critical at {pair.critical:g} before it is a warning at {pair.warning:g}"
            yield Problem(f"{PATH}/thresholds/{name}", problem, "A warning comes first")


def _receiver(receiver: Receiver, path: str, stack: Stack) -> Iterator[Problem]:
    if not (receiver.email or receiver.slack or receiver.pagerduty or receiver.webhook):
        yield Problem(path, "says no way to reach it", "Write email, slack, pagerduty or webhook")
    yield from secret_faults(secrets_of(receiver), path, stack)
    if receiver.email:
        yield from _email(receiver.email, f"{path}/email")
    hook = receiver.webhook
    if hook and (hook.url is None) == (hook.url_secret is None):
        found = "has no URL" if hook.url is None else "has two URLs"
        yield Problem(f"{path}/webhook", found, "Write one of url and url_secret")
    host = urlsplit((hook.url if hook else None) or "").hostname or ""
    if host.endswith(SECRET_URLS):
        remedy = "Declare it under stack/secrets, put it into the secrets file, and name it in url_secret"
        yield Problem(f"{path}/webhook/url", "is a secret: whoever knows it can post there", remedy)


def secrets_of(receiver: Receiver) -> dict[str, str]:
    """Secrets that a receiver needs: where it names them -> their names."""
    parts = {
        "email": receiver.email,
        "slack": receiver.slack,
        "pagerduty": receiver.pagerduty,
        "webhook": receiver.webhook,
    }
    return {
        f"{kind}/{key}": name
        for kind, part in parts.items()
        if part
        for key, name in vars(part).items()
        if key.endswith("_secret") and name
    }


def secret_faults(named: Mapping[str, str], path: str, stack: Stack) -> Iterator[Problem]:
    """Of secrets that somebody outside must know: keys below `path` -> names."""
    for key, name in named.items():
        if name not in stack.secrets:
            remedy = f"{did_you_mean(name, stack.secrets)}Declare it under stack/secrets: {name}: {{}}"
            yield Problem(f"{path}/{key}", f"{name} is not declared", remedy)
        elif stack.secrets[name].generate is not None:
            remedy = f"Remove generate from stack/secrets/{name} and supply it in the secrets file"
            yield Problem(f"{path}/{key}", f"{name} is generated, so nobody else knows it", remedy)


def _email(email: AlertEmail, path: str) -> Iterator[Problem]:
    if (email.user is None) != (email.password_secret is None):
        missing = "password_secret" if email.password_secret is None else "user"
        yield Problem(path, f"has no {missing}", "Write both, or neither for no login")
    if email.password_secret and email.tls == "none":
        remedy = "Choose starttls or implicit"
        yield Problem(f"{path}/tls", "is none, which would show the password to everybody", remedy)
    if not email.server:
        return
    port = int(email.server.rpartition(":")[2])
    if not 0 < port < 65536:
        yield Problem(f"{path}/server", f"has port {port}", "Write one from 1 to 65535")
    # Alertmanager tells the two apart by the port alone.
    elif (port == _IMPLICIT) != (email.tls == "implicit"):
        remedy = f"Use tls: implicit with port {_IMPLICIT} and only there; starttls is usual at port 587"
        yield Problem(f"{path}/tls", f"is {email.tls} at port {port}", remedy)
