"""The platform's own components: what the release machinery must know of each beside its Compose fragment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SLIPWAY_UID = 10001
POSTGRES_UID = 999


@dataclass(frozen=True)
class Component:
    """How a component is checked before, and told of, a new configuration.

    image: folder under compose/images and key in the stack's `images`.
    phase: when it is committed: `data` before the user's services, `edge` after them.
    tls: whether it gets the host's certificate under /config/tls.
    reload: signal that makes it read its configuration again; None means that it must be replaced.
    check: command that validates the configuration mounted at /config, run in the component's own image.
    early: where it does not run, it is started in `data`: others count on it while services roll.
    """

    image: str
    phase: str
    uid: int = SLIPWAY_UID
    tls: bool = False
    reload: str | None = None
    check: tuple[str, ...] = ()
    early: bool = False


COMPONENTS: Mapping[str, Component] = {
    "etcd": Component("etcd", "data", tls=True),
    # Before PostgreSQL, which sends its WAL there.
    "backup-repository": Component("postgres", "data", uid=POSTGRES_UID, tls=True, reload="HUP"),
    "archive-repository": Component("archive-repository", "data", tls=True),
    "backup-agent": Component("postgres", "data", uid=POSTGRES_UID, tls=True, reload="HUP"),
    "postgres": Component("postgres", "data", uid=POSTGRES_UID, tls=True, reload="HUP"),
    "pgbouncer": Component("pgbouncer", "data", uid=POSTGRES_UID, tls=True, reload="HUP"),
    "redis": Component("redis", "data", tls=True),
    "sentinel": Component("redis", "data", tls=True),
    "collector": Component("collector", "data", tls=True, check=("collector", "validate")),
    "local-router": Component(
        "haproxy", "data", tls=True, reload="USR2", check=("haproxy", "-c", "-f", "/config/haproxy.cfg")
    ),
    "router": Component(
        "haproxy",
        "edge",
        tls=True,
        reload="USR2",
        check=("haproxy", "-c", "-f", "/config/haproxy.cfg"),
        early=True,
    ),
    "edge-log": Component(
        "mtail",
        "edge",
        reload="HUP",
        check=("mtail", "--compile_only", "--progs", "/config", "--logtostderr"),
    ),
    "edge": Component(
        "nginx", "edge", tls=True, reload="HUP", check=("nginx", "-t", "-q", "-c", "/config/nginx.conf")
    ),
    "node-exporter": Component("node-exporter", "edge"),
    "postgres-exporter": Component("postgres-exporter", "edge", tls=True),
    "pgbouncer-exporter": Component("pgbouncer-exporter", "edge", tls=True),
    "redis-exporter": Component("redis-exporter", "edge", tls=True),
    "edge-exporter": Component("nginx-exporter", "edge"),
    "prometheus": Component(
        "prometheus",
        "edge",
        tls=True,
        reload="HUP",
        # What its linter says of rules is no reason not to take them, and would be told in place of one.
        check=("promtool", "check", "config", "--lint=none", "/config/prometheus.yml"),
    ),
    "alertmanager": Component(
        "alertmanager", "edge", reload="HUP", check=("amtool", "check-config", "/config/alertmanager.yml")
    ),
    "blackbox": Component("blackbox-exporter", "edge", tls=True, reload="HUP"),
    # Upstream's user.
    "grafana": Component("grafana", "edge", uid=472),
    # The one that asks for a password, so that no way past the edge is a way in.
    "console": Component(
        "nginx", "edge", tls=True, reload="HUP", check=("nginx", "-t", "-q", "-c", "/config/nginx.conf")
    ),
    "logs": Component("victoria-logs", "edge"),
    "audit-logs": Component("victoria-logs", "edge"),
    "traces": Component("victoria-logs", "edge"),
    # The stores have no authentication of their own: this asks for a certificate of the environment's CA.
    "logs-proxy": Component(
        "nginx", "edge", tls=True, reload="HUP", check=("nginx", "-t", "-q", "-c", "/config/nginx.conf")
    ),
}
