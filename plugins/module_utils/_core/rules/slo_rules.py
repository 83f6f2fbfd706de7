"""Which service level objectives can be measured at all: those of requests that the edge counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem
from ..gate.edge_counts import BOUNDS
from ..stack.model import Stack
from ..stack.model_service import LatencyObjective, Service, Slo

# Milliseconds that a user can write and the edge can tell apart.
LIMITS = tuple(round(bound * 1000) for bound in BOUNDS if bound and bound * 1000 % 1 == 0)


def slo_from(given: Mapping[str, Any] | None) -> Slo | None:
    """From a table as `schema_service.SLO` reads it."""
    if given is None:
        return None
    latency = given["latency"]
    return Slo(given["availability"], LatencyObjective(**latency) if latency else None, given["window"])


def slo_rules(service: Service, path: str, stack: Stack) -> Iterator[Problem]:
    if service.slo is None:
        return
    slo, here = service.slo, f"{path}/slo"
    if service.route is None:
        remedy = f"Add {path}/route, or remove the objectives"
        yield Problem(here, "needs a route: the edge measures what it promises", remedy)
    if slo.availability is None and slo.latency is None:
        yield Problem(here, "promises nothing", "Write availability, latency or both")
    kept = stack.components.monitoring.retention
    if slo.window > kept:
        remedy = "Write a shorter window, or a longer stack/components/monitoring/retention"
        yield Problem(f"{here}/window", f"is longer than metrics are kept, {kept / 86400:g} days", remedy)
    if slo.latency:
        yield from _latency(slo.latency, service.protocol, f"{here}/latency")


def _latency(latency: LatencyObjective, protocol: str | None, path: str) -> Iterator[Problem]:
    if protocol == "websocket":
        problem = "cannot be measured: a WebSocket's time says how long somebody stayed"
        yield Problem(path, problem, "Remove it")
    if latency.within not in LIMITS:
        below = [f"{it}ms" for it in LIMITS if it < latency.within][-1:]
        above = [f"{it}ms" for it in LIMITS if it > latency.within][:1]
        problem = f"is {latency.within} ms, a time that the edge's histogram does not tell apart"
        yield Problem(f"{path}/within", problem, f"Write {' or '.join(below + above)}")
