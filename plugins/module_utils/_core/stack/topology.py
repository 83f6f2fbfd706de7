"""Who runs what, where, on which port: decided here once, so that templates and modules only read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..pool_names import POOLS
from .model import Host, Job, Stack
from .model_service import Service

# Ports every component is published on, on its host's private address (edge: on all addresses).
PORTS: Mapping[str, int] = {
    "etcd": 2379,
    "etcd-peer": 2380,
    "etcd-metrics": 2381,
    "postgres": 5432,
    "patroni": 8008,
    "pgbouncer": 6432,
    "redis": 6379,
    "sentinel": 26379,
    "router-metrics": 8405,
    "router-api": 9999,
    "local-router-metrics": 8406,
    "local-router-api": 9998,
    "node-exporter": 9100,
    "postgres-exporter": 9187,
    "redis-exporter": 9121,
    "pgbouncer-exporter": 9127,
    "edge-exporter": 9113,
    "edge-log": 3903,
    "prometheus": 9090,
    "alertmanager": 9093,
    "blackbox": 9115,
    "registry-metrics": 5001,
}

# Of stacks that keep backups only: the others neither open these nor keep users from them.
BACKUP_PORTS: Mapping[str, int] = {"backup-repository": 8432, "backup-agent": 8433}
# Of those among them that keep an archive, too.
ARCHIVE_PORTS: Mapping[str, int] = {"archive-repository": 8434}

# The same of stacks that keep their logs in one place; `logs-search` is published on the loopback only.
LOG_PORTS: Mapping[str, int] = {"logs-proxy": 9428, "logs-search": 9429}
# Of those among them that keep traces, too: where hosts hand them to the one beside the store, and figures.
TRACE_PORTS: Mapping[str, int] = {"collector": 4318, "collector-metrics": 8888}
# Where there is a console: for the edge, which clients ask.
CONSOLE_PORTS: Mapping[str, int] = {"console": 9430}


@dataclass(frozen=True)
class Replica:
    """One container of a service. `port` is published on the host's private address; a worker has none."""

    service: str
    pool: str
    index: int
    host: Host
    port: int | None

    @property
    def name(self) -> str:
        """The Compose service name, the same on every host."""
        return f"{self.service}-{self.pool}-{self.index}"

    @property
    def server(self) -> str:
        """The HAProxy server name, unique in the fleet."""
        return f"{self.name}.{self.host.name}"


def replicas(service: Service, host: Host) -> list[Replica]:
    """The replicas of both pools on one host. Pools alternate in ports, so that scaling moves none."""
    return [
        Replica(
            service.name,
            pool,
            index + 1,
            host,
            None if service.is_worker else service.publish_base + 2 * index + offset,
        )
        for offset, pool in enumerate(POOLS)
        for index in range(service.replicas)
    ]


@dataclass(frozen=True)
class HostView:
    """What one host may run: platform components in start order, both pools of the user's services, jobs."""

    host: Host
    components: tuple[str, ...]
    replicas: tuple[Replica, ...]
    jobs: tuple[Job, ...] = ()

    def runs(self, component: str) -> bool:
        return component in self.components


@dataclass(frozen=True)
class Topology:
    """The whole environment as its parts stand on its hosts."""

    stack: Stack
    views: Mapping[str, HostView]

    def members(self, component: str) -> list[Host]:
        """The hosts that run a component, in the order the stack names them."""
        names = placement(self.stack)[component]
        by_name = {host.name: host for host in self.stack.hosts}
        return [by_name[name] for name in names]

    def replicas_of(self, service: str) -> list[Replica]:
        """Every replica of a service over the fleet, of both pools."""
        return [
            replica for view in self.views.values() for replica in view.replicas if replica.service == service
        ]

    def replicas_elsewhere(self, host: Host) -> list[Replica]:
        """What stands behind routes on other hosts, where those are two or more.

        None of them answering tells a host that it is cut off; of one alone it may be that one.
        """
        found = [
            replica
            for service in self.routed()
            for replica in self.replicas_of(service.name)
            if replica.host != host
        ]
        return found if len({replica.host for replica in found}) > 1 else []

    def served(self) -> list[Service]:
        """Services that others reach, by name: all that have a port."""
        return [service for service in self.stack.services.values() if not service.is_worker]

    def routed(self) -> Iterator[Service]:
        """Services with a public route, the longest path first, as a router must match them."""
        routed = [service for service in self.stack.services.values() if service.route]
        return iter(
            sorted(
                routed, key=lambda service: (-len(service.route.path if service.route else ""), service.name)
            )
        )


def placement(stack: Stack) -> dict[str, tuple[str, ...]]:
    """Host names per platform component, in start order (what others depend on comes first)."""
    parts = stack.components
    postgres = parts.postgres.hosts if parts.postgres else ()
    redis = parts.redis.hosts if parts.redis else ()
    apps = {name for service in stack.services.values() for name in service.hosts}
    every = tuple(host.name for host in stack.hosts)
    backup = parts.backup.hosts if parts.backup else ()
    logs = parts.logs.hosts if parts.logs else ()
    traces = logs if parts.logs and parts.logs.traces else ()
    console = parts.monitoring.hosts if parts.console else ()
    return {
        "etcd": parts.etcd.hosts if parts.postgres else (),
        "backup-repository": backup,
        "archive-repository": backup if parts.backup and parts.backup.archive else (),
        "backup-agent": postgres if backup else (),
        "postgres": postgres,
        "pgbouncer": postgres,
        "redis": redis,
        "sentinel": redis,
        # Before what sends to it; nothing waits for it.
        "collector": every if traces else (),
        "local-router": tuple(name for name in every if name in apps),
        "router": parts.edge.hosts,
        "edge-log": parts.edge.hosts,
        "edge": parts.edge.hosts,
        "node-exporter": every,
        "postgres-exporter": postgres,
        "pgbouncer-exporter": postgres,
        "redis-exporter": redis,
        "edge-exporter": parts.edge.hosts,
        "prometheus": parts.monitoring.hosts,
        "alertmanager": parts.monitoring.hosts,
        "blackbox": parts.monitoring.hosts,
        "logs": logs,
        "audit-logs": logs,
        "traces": traces,
        "logs-proxy": logs,
        # Where the stack names an image of it: there is none to build.
        "grafana": console if "grafana" in stack.images else (),
        "console": console,
    }


def keeper(hosts: Sequence[str]) -> Sequence[str]:
    """Where a stack names none: the host of what stands on one. From three on it stays when others come."""
    return hosts[:3][-1:]


def topology(stack: Stack) -> Topology:
    """Lay a stack out over its hosts."""
    placed = placement(stack)
    views = {}
    for host in stack.hosts:
        components = tuple(name for name, hosts in placed.items() if host.name in hosts)
        own = tuple(
            replica
            for service in stack.services.values()
            if host.name in service.hosts
            for replica in replicas(service, host)
        )
        jobs = tuple(job for job in stack.jobs.values() if stack.services[job.service].hosts[0] == host.name)
        views[host.name] = HostView(host, components, own, jobs)
    return Topology(stack, views)
