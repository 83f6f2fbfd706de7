"""Dashboards as their files say, for one stack: what it lacks is left out, its alerts' numbers are put in.

Two forms are made of them: `page` here, for the console, and Grafana's own in `dashboard_grafana`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidInputError, Problem
from ..schema.reading import Faults, read
from ..schema.schema_dashboards import DASHBOARD, LIMITS
from ..stack.model_alerts import Pair, Thresholds
from ..stack.topology import Topology

_VARIABLE = re.compile(r"\$([a-z][a-z_]*)")


@dataclass(frozen=True)
class Query:
    query: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """`warning` and `critical` in the panel's unit; where critical is the smaller one, less is worse."""

    title: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    columns: tuple[str, ...]
    warning: float | None
    critical: float | None
    most: float
    stacked: bool
    empty: str | None


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    name: str
    title: str
    order: int
    about: str
    variables: tuple[str, ...]
    rows: tuple[Row, ...]

    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


def parts(topology: Topology) -> frozenset[str]:
    """What of `PARTS` a stack has."""
    components = topology.stack.components
    found = {
        "archive": components.backup and components.backup.archive,
        "backup": components.backup,
        "exports": components.logs and components.logs.exports,
        "logs": components.logs,
        "outside": components.monitoring.outside,
        "postgres": components.postgres,
        "redis": components.redis,
        "registry": any(host.name in components.registry.hosts for host in topology.stack.hosts),
        "routes": any(True for _service in topology.routed()),
        "slo": any(service.slo for service in topology.stack.services.values()),
    }
    return frozenset(name for name, present in found.items() if present)


def choices(topology: Topology) -> dict[str, list[str]]:
    """What can be chosen for each variable."""
    return {
        "host": [host.name for host in topology.stack.hosts],
        "service": [service.name for service in topology.served()],
    }


def dashboards(
    sources: Mapping[str, object], having: frozenset[str], thresholds: Thresholds, paths: Mapping[str, str]
) -> list[Dashboard]:
    """Those of a stack, in the menu's order. sources: name -> what its file says; paths: where it is."""
    faults = Faults()
    found = []
    for name, source in sources.items():
        path = paths.get(name, name)
        given = read(DASHBOARD, source, path, faults)
        if not faults.within(path):
            faults.judged(_misuse(given, path))
        if not faults.within(path) and _fits(given, having):
            found.append(_dashboard(name, given, having, thresholds))
    if faults.problems:
        raise InvalidInputError(faults.problems)
    return sorted(found, key=lambda one: (one.order, one.title))


def _misuse(given: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for row, place in _at(given["rows"], f"{path}/rows"):
        for panel, here in _at(row["panels"], f"{place}/panels"):
            yield from _panel_misuse(panel, here, given["variables"])


def _panel_misuse(panel: Mapping[str, Any], path: str, variables: Sequence[str]) -> Iterator[Problem]:
    if panel["kind"] == "table" and len(panel["queries"]) > 1:
        yield Problem(f"{path}/queries", "are several, and a table asks once", "Make two tables of it")
    if panel["kind"] != "table" and panel["columns"]:
        yield Problem(f"{path}/columns", "are for a table", "Remove them, or write kind: table")
    if (panel["warning"] is None) != (panel["critical"] is None):
        yield Problem(path, "has one of warning and critical", "Write both, or neither")
    if panel["limits"] and panel["warning"] is not None:
        yield Problem(path, "has limits and numbers of its own", "Keep one of them")
    for query, here in _at(panel["queries"], f"{path}/queries"):
        for name in sorted(set(_VARIABLE.findall(query["query"])) - set(variables)):
            remedy = f"Add {name} to the dashboard's variables, or write the value itself"
            yield Problem(f"{here}/query", f"names ${name}, which the dashboard does not have", remedy)


def _at(items: Sequence[Mapping[str, Any]], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    return ((item, f"{path}/{index}") for index, item in enumerate(items))


def _fits(given: Mapping[str, Any], having: frozenset[str]) -> bool:
    return given["needs"] is None or given["needs"] in having


def _dashboard(
    name: str, given: Mapping[str, Any], having: frozenset[str], thresholds: Thresholds
) -> Dashboard:
    rows = tuple(
        Row(row["title"], tuple(_panel(it, thresholds) for it in row["panels"] if _fits(it, having)))
        for row in given["rows"]
        if _fits(row, having)
    )
    plain = {key: given[key] for key in ("title", "order", "about", "variables")}
    return Dashboard(name, **plain, rows=tuple(row for row in rows if row.panels))


def _panel(given: Mapping[str, Any], thresholds: Thresholds) -> Panel:
    values = {key: value for key, value in given.items() if key not in ("limits", "needs")}
    if given["limits"]:
        limits, scale = getattr(thresholds, given["limits"]), LIMITS[given["limits"]]
        assert isinstance(limits, Pair)
        values |= {key: round(getattr(limits, key) * scale, 6) for key in ("warning", "critical")}
    return Panel(**{**values, "queries": tuple(Query(**query) for query in given["queries"])})


def page(found: Sequence[Dashboard], offered: Mapping[str, Sequence[str]], menu: Mapping[str, str]) -> Any:
    """What the console's page draws. menu: what else there is -> its address, relative to the page's."""
    return {"dashboards": [asdict(one) for one in found], "choices": dict(offered), "menu": dict(menu)}
