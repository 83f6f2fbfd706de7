"""Dashboards in Grafana's own form, and how it is told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..schema.schema_dashboards import UNITS
from .dashboards import Dashboard, Panel
from .grafana_sources import PROMETHEUS

SCHEMA = 39
# Of Grafana's 24 columns, and its rows of 30 pixels.
_SIZES = {"stat": (4, 4), "gauge": (4, 4), "table": (12, 8), "time series": (12, 8)}
_TYPES = {"stat": "stat", "gauge": "gauge", "table": "table", "time series": "timeseries"}
_MARKER = 'slipway_run_begun_timestamp_seconds{what!=""}'


def grafana(one: Dashboard, offered: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """One dashboard. Its `uid` is its name, so that links to it stay."""
    return {
        "uid": f"slipway-{one.name}",
        "title": one.title,
        "description": one.about,
        "tags": ["slipway"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "tags": ["slipway"],
                "title": "Dashboards",
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": [_markers()]},
        "templating": {"list": [_variable(name, offered[name]) for name in one.variables]},
        "panels": _panels(one),
    }


def files(
    found: Sequence[Dashboard], offered: Mapping[str, Sequence[str]], sources: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Below /config of its container: provisioning and dashboards."""
    provider = {
        "name": "slipway",
        "folder": "Slipway",
        "type": "file",
        "allowUiUpdates": False,
        "disableDeletion": True,
        "options": {"path": "/config/dashboards"},
    }
    # JSON is YAML, too.
    told: dict[str, Any] = {
        "provisioning/datasources/slipway.yml": {"apiVersion": 1, "datasources": sources},
        "provisioning/dashboards/slipway.yml": {"apiVersion": 1, "providers": [provider]},
        **{f"dashboards/{one.name}.json": grafana(one, offered) for one in found},
    }
    return {path: json.dumps(content, indent=1) + "\n" for path, content in told.items()}


def _markers() -> dict[str, Any]:
    return {
        "name": "Releases",
        "enable": True,
        "datasource": PROMETHEUS,
        "expr": f"{_MARKER} * 1000",
        "iconColor": "blue",
        "useValueForTime": True,
        "titleFormat": "{{what}}",
        "textFormat": "{{release}}",
        "step": "60s",
    }


def _variable(name: str, offered: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "custom",
        "query": ",".join(offered),
        "includeAll": True,
        "allValue": ".+",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def _panels(one: Dashboard) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for row in one.rows:
        heading = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
        made.append({"id": len(made) + 1, **heading, "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}})
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            width, height = _SIZES[panel.kind]
            if left + width > 24:
                top, left, tallest = top + tallest, 0, 0
            place = {"x": left, "y": top, "w": width, "h": height}
            made.append({"id": len(made) + 1, **_panel(panel), "gridPos": place})
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    series = panel.kind == "time series"
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": PROMETHEUS,
            "expr": query.query,
            "legendFormat": query.legend or "__auto",
            **({"range": True} if series else {"instant": True, "range": False}),
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for index, query in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": UNITS[panel.unit], "thresholds": _thresholds(panel)}
    if panel.empty:
        defaults["noValue"] = panel.empty
    if panel.kind == "gauge":
        defaults |= {"min": 0, "max": panel.most}
    if series:
        defaults["custom"] = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}}
        if panel.warning is not None:
            defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    made: dict[str, Any] = {
        "type": _TYPES[panel.kind],
        "title": panel.title,
        "datasource": PROMETHEUS,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
    if panel.kind == "table":
        made["transformations"] = _columns(panel)
    return made


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warning is not None and panel.critical is not None:
        if panel.critical < panel.warning:
            steps = [
                {"color": "red", "value": None},
                {"color": "orange", "value": panel.critical},
                {"color": "green", "value": panel.warning},
            ]
        else:
            steps += [{"color": "orange", "value": panel.warning}, {"color": "red", "value": panel.critical}]
    return {"mode": "absolute", "steps": steps}


def _columns(panel: Panel) -> list[dict[str, Any]]:
    kept = [*panel.columns, "Value"]
    return [
        {"id": "filterFieldsByName", "options": {"include": {"names": kept}}},
        {"id": "organize", "options": {"indexByName": {name: index for index, name in enumerate(kept)}}},
    ]
