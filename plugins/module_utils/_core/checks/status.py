"""One table of everything in an environment: where it is, which release, how it is, what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..pool_names import POOLS
from ..stack.topology import BACKUP_PORTS, CONSOLE_PORTS, LOG_PORTS, PORTS, TRACE_PORTS, HostView, Topology
from .health import FAIL, OK, WARN

_RANK = {OK: 0, WARN: 1, FAIL: 2}
_HEADER = ("COMPONENT", "HOST", "ADDRESS", "RELEASE", "HEALTH", "DETAIL")
_UNKNOWN = "unreachable"


@dataclass(frozen=True)
class Seen:
    """What was found on one host: its current release and its checks (component, name, status, detail)."""

    release: str
    checks: Sequence[Mapping[str, str]]


def table(topology: Topology, seen: Mapping[str, Seen]) -> list[str]:
    """Aligned lines, a header first; a host that was not seen is shown as unreachable, never left out."""
    rows = [
        _HEADER,
        *(row for view in topology.views.values() for row in _host(view, seen.get(view.host.name))),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _host(view: HostView, seen: Seen | None) -> list[tuple[str, ...]]:
    ports = {**PORTS, **BACKUP_PORTS, **LOG_PORTS, **CONSOLE_PORTS}
    ports["collector"] = TRACE_PORTS["collector-metrics"]
    own = [(name, name, ports.get(name)) for name in view.components]
    shown = [replica for replica in view.replicas if seen is not None or replica.pool == POOLS[0]]
    own += [(replica.service, replica.name, replica.port) for replica in shown]
    replicas = {replica.name for replica in view.replicas}
    host, address = view.host.name, view.host.address
    rows: list[tuple[str, ...]] = []
    for component, name, port in own:
        place = f"{address}:{port}" if port else address
        if seen is None:
            rows.append((name, host, place, "?", _UNKNOWN, ""))
            continue
        checks = [check for check in seen.checks if check["component"] == component]
        if name in replicas:
            checks = [check for check in checks if name in check["name"].split()]
            if not checks:  # the pool that is not live
                continue
        rows.append((name, host, place, seen.release, *_health(checks)))
    return rows


def _health(checks: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """The worst finding, and what the checks of that rank say."""
    if not checks:
        return "not checked", ""
    worst = max((check["status"] for check in checks), key=lambda status: _RANK[status])
    told = [check for check in checks if check["status"] == worst]
    if worst == OK:
        told = [check for check in told if not check["name"].startswith(("container", "certificate"))] or told
    return worst, "; ".join(check["detail"].replace("\n", " ") for check in told)
