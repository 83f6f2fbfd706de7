"""What all that watches takes: metrics, logs, traces; in containers, and as programs of the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from test_monitoring import ask

from lab import Lab

EXPORTERS = (
    *("node-exporter", "postgres-exporter", "pgbouncer-exporter", "redis-exporter", "edge-exporter"),
    *("edge-log", "prometheus", "alertmanager", "blackbox"),
)
# It is on the host that keeps what all tell.
KEEPER = "prometheus"
COMPONENTS = (*EXPORTERS, "collector", "logs", "logs-proxy", "audit-logs", "traces", "console")
UNITS = ("slipway-container-metrics", "slipway-log-shipper", "slipway-third-parties")


@dataclass(frozen=True)
class Use:
    """What one container or program takes."""

    bytes: float
    cores: float


def by_component(used: Mapping[tuple[str, str], Use]) -> dict[str, tuple[int, float, float]]:
    """How many there are, bytes and cores of all, by component or program."""
    found: dict[str, tuple[int, float, float]] = {}
    for (_host, name), one in used.items():
        count, total, cores = found.get(name, (0, 0.0, 0.0))
        found[name] = (count + 1, total + one.bytes, cores + one.cores)
    return found


def used_by_monitoring(lab: Lab, seconds: float) -> dict[tuple[str, str], Use]:
    """By host and component: containers as the lab's Prometheus knows them, programs as their hosts do."""
    memory = _by_container(lab, "container_memory_working_set_bytes")
    cores = _by_container(lab, f"rate(container_cpu_usage_seconds_total[{seconds:.0f}s])")
    found = {key: Use(taken, cores.get(key, 0.0)) for key, taken in memory.items() if key[1] in COMPONENTS}
    # CPU since it runs, of what it has started besides.
    asked = (
        "pid=$(systemctl show --property=MainPID --value %s.service); "
        "[ $pid = 0 ] || ps -o rss=,cputimes=,etimes= -p $pid --ppid $pid"
    )
    for host, machine in lab.hosts.items():
        for unit in UNITS:
            if rows := [
                list(map(int, row.split())) for row in machine.check_output(asked, unit).splitlines()
            ]:
                resident, busy = (
                    sum(row[0] for row in rows) * 1024,
                    sum(row[1] / max(row[2], 1) for row in rows),
                )
                found[host, unit] = Use(resident, busy)
    return found


def _by_container(lab: Lab, query: str) -> dict[tuple[str, str], float]:
    told = ask(lab, f"query?query={quote(f'sum by (host, name) ({query})')}")["result"]
    project = lab.stack["name"]
    return {
        (it["metric"]["host"], it["metric"]["name"].removeprefix(f"{project}-").removesuffix("-1")): float(
            it["value"][1]
        )
        for it in told
    }
