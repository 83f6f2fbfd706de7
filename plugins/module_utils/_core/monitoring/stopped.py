"""Which containers do not run that should: questions to Prometheus, for what no other alert speaks of.

A container that does not run has no memory (container_metrics.py), so its series is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..stack.model import Host
from ..stack.topology import Topology

# The alert that tells where a component has stopped. All others are `ContainerMissing`.
TOLD_BY: Mapping[str, str] = {
    "alertmanager": "InstanceDown",
    "audit-logs": "LogStoreDown",
    "blackbox": "InstanceDown",
    "collector": "InstanceDown",
    "console": "ConsoleDown",
    "edge": "EdgeDown",
    "edge-exporter": "InstanceDown",
    "edge-log": "EdgeRequestsNotCounted",
    "etcd": "InstanceDown",
    "local-router": "InstanceDown",
    "logs": "LogStoreDown",
    "logs-proxy": "LogStoreDown",
    "node-exporter": "HostDown",
    "pgbouncer": "PgbouncerDown",
    "pgbouncer-exporter": "InstanceDown",
    "postgres": "PostgresDown",
    "postgres-exporter": "InstanceDown",
    "prometheus": "InstanceDown",
    "redis": "RedisDown",
    "redis-exporter": "InstanceDown",
    "router": "InstanceDown",
    "sentinel": "SentinelsMissing",
    "traces": "TraceStoreDown",
}
# Files of a host that measures nothing any more are old: what they say of containers is no longer so.
_MEASURED = (
    'time() - max by (host) (node_textfile_mtime_seconds{job="node", file=~".+/containers.prom"}) < 120'
)
_RUNS = "slipway_run_{}_timestamp_seconds"
# Ends an expression that means nothing while containers are replaced. A run that was killed has no end, and
# is taken for over after an hour.
UNLESS_A_RUN_GOES_ON = (
    f"unless on () (max({_RUNS.format('begun')}) > (max({_RUNS.format('ended')}) or vector(0))"
    f" and max({_RUNS.format('begun')}) > time() - 3600)"
)


def unspoken(topology: Topology) -> dict[str, list[Host]]:
    """Components of which no alert of their own tells that they have stopped -> where they stand."""
    names = {name for view in topology.views.values() for name in view.components}
    return {name: topology.members(name) for name in sorted(names - TOLD_BY.keys())}


def answering(hosts: Sequence[Host], up: int) -> str:
    """Hosts whose node-exporter answers (1) or does not (0)."""
    where = "|".join(host.name.replace(".", "[.]") for host in hosts)
    return f'max by (host) (up{{job="node", host=~"{where}"}} == {up})'


def stopped(stack: str, component: str, hosts: Sequence[Host]) -> str:
    """Hosts that answer and measure their containers, and on which the component's does not run."""
    container = f'container_memory_working_set_bytes{{name="{stack}-{component}-1"}}'
    return f"{answering(hosts, 1)} and on (host) ({_MEASURED}) unless on (host) {container}"


def workers_stopped(stack: str) -> str:
    """Workers of live pools that do not run; all other replicas are asked by routers. Labels: host, name."""
    expected = f'label_replace(slipway_worker_expected, "name", "{stack}-$1-1", "replica", "(.+)")'
    return (
        f"max by (host, name) ({expected}) and on (host) ({_MEASURED})"
        " unless on (host, name) container_memory_working_set_bytes"
    )
