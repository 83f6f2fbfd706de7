"""Which probes a host is asked by default: derived from the topology, on the control node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..stack.model_components import Postgres
from ..stack.topology import (
    ARCHIVE_PORTS,
    BACKUP_PORTS,
    CONSOLE_PORTS,
    LOG_PORTS,
    PORTS,
    TRACE_PORTS,
    HostView,
    Topology,
)
from .health import Probe
from .readiness import readiness

# Where components answer plainly that they are well; the port is looked up under the component's own name.
_PAGES: Mapping[str, tuple[str, str]] = {
    "router": ("router-metrics", "/health"),
    "local-router": ("local-router-metrics", "/health"),
    "node-exporter": ("node-exporter", "/"),
    "postgres-exporter": ("postgres-exporter", "/"),
    "pgbouncer-exporter": ("pgbouncer-exporter", "/"),
    "redis-exporter": ("redis-exporter", "/health"),
    "edge-exporter": ("edge-exporter", "/"),
    "edge-log": ("edge-log", "/metrics"),
    "prometheus": ("prometheus", "/-/ready"),
    "alertmanager": ("alertmanager", "/-/ready"),
    "blackbox": ("blackbox", "/-/healthy"),
}
# What a domain may answer to a stranger's GET of a path: anything but "not ours" (421) and "broken" (5xx).
_ALIVE = ("2xx", "3xx", "401", "403", "404", "405", "429")
# Where nothing is behind it, as at a site that follows another one: the edge's own answer, and nobody else's.
_AT_REST = ("503",)


def probes_for(topology: Topology, view: HostView) -> list[Probe]:
    """All components and replicas of a host at their published ports, its containers, and the host itself."""
    special: Mapping[str, Callable[[Topology, HostView], list[Probe]]] = {
        "etcd": _etcd,
        **{
            component: _over_tls(component, port)
            for component, port in {**BACKUP_PORTS, **ARCHIVE_PORTS, **CONSOLE_PORTS}.items()
        },
        "postgres": _postgres,
        "pgbouncer": _pgbouncer,
        "redis": _redis,
        "sentinel": _sentinel,
        "edge": _edge,
        "logs": _log_store("logs"),
        "audit-logs": _log_store("audit-logs"),
        "logs-proxy": _logs_proxy,
        "traces": _log_store("traces"),
        "collector": _collector,
    }
    probes = []
    for component in view.components:
        probes += special[component](topology, view) if component in special else _page(component, view)
        probes.append(_container(topology, component, component))
    for replica in view.replicas:
        probes.append(readiness(topology.stack, replica))
        if replica.port is not None:  # a worker's readiness is its container's
            probes.append(_container(topology, replica.service, replica.name))
    return [*probes, *_registry(topology, view), *_host(topology)]


def _page(component: str, view: HostView) -> list[Probe]:
    if component not in _PAGES:
        return []
    port, path = _PAGES[component]
    return [Probe("answers", component, "http", {"url": f"http://{view.host.address}:{PORTS[port]}{path}"})]


def _container(topology: Topology, component: str, name: str) -> Probe:
    return Probe(
        f"container {name}", component, "container", {"container": f"{topology.stack.name}-{name}-1"}
    )


def _etcd(topology: Topology, view: HostView) -> list[Probe]:
    url = f"http://{view.host.address}:{PORTS['etcd-metrics']}/health"
    return [
        Probe("has a leader", "etcd", "http", {"url": url}, {"contains": '"health":"true"'}),
        _certificate(topology, view, "etcd", PORTS["etcd"]),
    ]


def _over_tls(component: str, port: int) -> Callable[[Topology, HostView], list[Probe]]:
    return lambda topology, view: [
        Probe("accepts", component, "tcp", {"host": view.host.address, "port": port}),
        _certificate(topology, view, component, port),
    ]


def _log_store(component: str) -> Callable[[Topology, HostView], list[Probe]]:
    """Through the proxy, as whoever sends lines reaches them."""
    path = {"logs": "/health", "audit-logs": "/audit/health", "traces": "/traces/health"}[component]
    return lambda topology, view: [
        Probe(
            "answers",
            component,
            "https",
            {"url": f"https://{view.host.address}:{LOG_PORTS['logs-proxy']}{path}", **_trust(topology)},
        )
    ]


def _collector(topology: Topology, view: HostView) -> list[Probe]:
    url = f"http://{view.host.address}:{TRACE_PORTS['collector-metrics']}/metrics"
    probes = [Probe("answers", "collector", "http", {"url": url})]
    if view.runs("traces"):
        probes.append(_certificate(topology, view, "collector", TRACE_PORTS["collector"]))
    return probes


def _logs_proxy(topology: Topology, view: HostView) -> list[Probe]:
    return [_certificate(topology, view, "logs-proxy", LOG_PORTS["logs-proxy"])]


def _postgres(topology: Topology, view: HostView) -> list[Probe]:
    url = f"https://{view.host.address}:{PORTS['patroni']}"
    settings = topology.stack.components.postgres
    expect = {"lag": settings.max_replica_lag} if isinstance(settings, Postgres) else {}
    return [
        Probe("role and lag", "postgres", "postgres", {"url": url, **_trust(topology)}, expect),
        Probe("accepts", "postgres", "tcp", {"host": view.host.address, "port": PORTS["postgres"]}),
        _certificate(topology, view, "postgres", PORTS["patroni"]),
    ]


def _pgbouncer(topology: Topology, view: HostView) -> list[Probe]:
    del topology
    return [Probe("accepts", "pgbouncer", "tcp", {"host": view.host.address, "port": PORTS["pgbouncer"]})]


def _redis(topology: Topology, view: HostView) -> list[Probe]:
    place = {"host": view.host.address, "port": PORTS["redis"]}
    password = {"password_file": f"{_root(topology)}/config/host/redis_password"}
    return [
        Probe("role and link", "redis", "redis", {**place, **password, **_trust(topology)}),
        _certificate(topology, view, "redis", PORTS["redis"]),
    ]


def _sentinel(topology: Topology, view: HostView) -> list[Probe]:
    return [_certificate(topology, view, "sentinel", PORTS["sentinel"])]


def _edge(topology: Topology, view: HostView) -> list[Probe]:
    edge = topology.stack.components.edge
    trust = _trust(topology)
    if edge.tls.certificate:
        # The user's own certificate is held against itself: no authority for it need be known to the host.
        trust = {"ca": f"{_root(topology)}/config/edge/tls/tls.crt"}
    address = view.host.address
    probes = []
    domains: dict[str, bool] = {}
    for service in topology.routed():
        if service.route:
            domain = service.route.domain
            domains[domain] = domains.get(domain, False) or service.replicas > 0
    if console := topology.stack.components.console:
        domains[console.domain] = True
    for domain, served in sorted(domains.items()):
        url = f"https://{domain}:{edge.https_port}/"
        plain = f"http://{domain}:{edge.http_port}/"
        place = {"host": address, "port": edge.https_port, "server_name": domain}
        probes += [
            Probe(
                f"{'serves' if served else 'turns away for'} {domain}",
                "edge",
                "https",
                {"url": url, "address": address, **trust},
                {"status": list(_ALIVE if served else _AT_REST)},
            ),
            Probe(
                f"redirects {domain}", "edge", "http", {"url": plain, "address": address}, {"status": ["3xx"]}
            ),
            Probe(f"certificate of {domain}", "edge", "tls", {**place, **trust}),
        ]
    return probes


def _registry(topology: Topology, view: HostView) -> list[Probe]:
    registry = topology.stack.components.registry
    if view.host.name not in registry.hosts:
        return []
    url = f"https://{view.host.address}:{registry.port}/v2/"
    return [Probe("answers", "registry", "https", {"url": url, **_trust(topology)})]


def _host(topology: Topology) -> list[Probe]:
    return [
        Probe(f"disk {_root(topology)}", "host", "disk", {"path": _root(topology)}),
        Probe("disk /var/lib/docker", "host", "disk", {"path": "/var/lib/docker"}),
        Probe("memory", "host", "memory"),
    ]


def _certificate(topology: Topology, view: HostView, component: str, port: int) -> Probe:
    place: dict[str, Any] = {"host": view.host.address, "port": port}
    return Probe("certificate", component, "tls", {**place, **_trust(topology)})


def _trust(topology: Topology) -> dict[str, str]:
    folder = f"{_root(topology)}/config/host/tls"
    return {"ca": f"{folder}/ca.crt", "certificate": f"{folder}/tls.crt", "key": f"{folder}/tls.key"}


def _root(topology: Topology) -> str:
    return f"/opt/{topology.stack.name}"
