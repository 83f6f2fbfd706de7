"""The one address that shows how a stack is: where it is, who may log in, what its page is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from ..sha512_crypt import crypted
from ..stack.model import Stack
from ..stack.topology import PORTS, HostView, Topology
from . import dashboard_grafana, grafana_sources
from .dashboards import choices, dashboards, page, parts

OPERATOR = "operator"
PASSWORD, COOKIE = "console_password", "console_cookie"
# Where the console hands on Grafana's questions to the stores of logs and traces; published nowhere.
READER_PORT = 8082
# Programs of Unix tell by it how a password was hashed: bcrypt, SHA-256, SHA-512, yescrypt.
HASHES = r"\$(?:2[aby]|5|6|y)\$[./0-9A-Za-z$=,]{16,}"
# What the labels of an alert are called -> the variable of the dashboard.
_CHOSEN = ("host", "service")


def default_domain(domain: str) -> str:
    return f"ops.{domain}"


def secret_names(stack: Stack) -> list[str]:
    """The secrets that are generated for it."""
    console = stack.components.console
    if console is None:
        return []
    return [COOKIE] if console.users else [PASSWORD, COOKIE]


def address(stack: Stack) -> str:
    """With a slash at its end; empty where there is none."""
    console, port = stack.components.console, stack.components.edge.public_https_port
    return f"https://{console.domain}{'' if port == 443 else f':{port}'}/" if console else ""


def dashboard_link(stack: Stack, name: str, *labels: str) -> str:
    """A line of an alert's annotations; labels: those of the alert that choose what the dashboard shows."""
    unknown = set(labels) - set(_CHOSEN)
    assert not unknown, unknown
    if not stack.components.console:
        return ""
    chosen = "&".join(f"{label}={{{{ $labels.{label} }}}}" for label in labels)
    return f'dashboard: "{address(stack)}#/{name}{"?" if chosen else ""}{chosen}"'


def users(stack: Stack, secrets: Mapping[str, str]) -> str:
    """nginx's file: a name and a hash a line. The generated password's salt is made of it: it stays."""
    console = stack.components.console
    assert console is not None
    if console.users:
        return "".join(
            f"{name}:{secrets[secret].strip()}\n" for name, secret in sorted(console.users.items())
        )
    password = secrets[PASSWORD]
    salt = hashlib.sha256(f"{stack.name} console {password}".encode()).hexdigest()[:16]
    return f"{OPERATOR}:{crypted(password, salt)}\n"


def files(
    topology: Topology,
    view: HostView,
    secrets: Mapping[str, str],
    sources: Mapping[str, object],
) -> dict[str, str]:
    """What is made for the console and for Grafana, beside their templates: path -> text."""
    thresholds = topology.stack.components.monitoring.alerts.thresholds
    offered = choices(topology)
    found = dashboards(sources, parts(topology), thresholds, {})
    menu = {"Alerts": "#/alerts", **_elsewhere(topology)}
    if view.runs("grafana"):
        menu["Grafana"] = "grafana/dashboards"
    told = {**page(found, offered, menu), "stack": topology.stack.name}
    made = {
        "config/console/users": users(topology.stack, secrets),
        "config/console/page/dashboards.json": json.dumps(told, separators=(",", ":")) + "\n",
    }
    if view.runs("grafana"):
        asked = grafana_sources.sources(
            f"http://prometheus:{PORTS['prometheus']}",
            f"http://alertmanager:{PORTS['alertmanager']}",
            _stores(topology, secrets),
        )
        own = dashboard_grafana.files(found, offered, asked)
        made |= {f"config/grafana/{path}": text for path, text in own.items()}
    return made


def _stores(topology: Topology, secrets: Mapping[str, str]) -> grafana_sources.Stores | None:
    if not topology.members("logs-proxy"):
        return None
    page = f"{address(topology.stack)}logs/traces.html?trace="
    kept = bool(topology.members("traces"))
    # Not the cookie itself: with that, whoever reads Grafana's settings would be let in.
    word = hashlib.sha256(f"reader {secrets[COOKIE]}".encode()).hexdigest()
    return grafana_sources.Stores(f"http://console:{READER_PORT}/logs", word, page, kept)


def _elsewhere(topology: Topology) -> dict[str, str]:
    here = {"Logs": ("logs", "logs/search.html"), "Traces": ("traces", "logs/traces.html")}
    return {title: address for title, (component, address) in here.items() if topology.members(component)}
