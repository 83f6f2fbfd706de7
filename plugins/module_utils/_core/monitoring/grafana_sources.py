"""Where Grafana finds metrics, alerts, logs and traces, in the form of its provisioning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
# A plugin, which the image must have. Without it Grafana keeps the source, and says so when it is asked.
LINES = "victoriametrics-logs-datasource"
# What the console asks for before it answers Grafana.
HEADER = "X-Slipway-Reader"


@dataclass(frozen=True)
class Stores:
    """The stores of lines and of spans, as the console hands them on.

    url: of the console for Grafana. word: what it asks for. page: of a trace, without its id.
    traces: whether spans are kept.
    """

    url: str
    word: str
    page: str
    traces: bool


def sources(prometheus: str, alertmanager: str, stores: Stores | None) -> list[dict[str, Any]]:
    """The first two are URLs; stores: None where no lines are kept."""
    found: list[dict[str, Any]] = [
        {
            "name": "Prometheus",
            "isDefault": True,
            "url": prometheus,
            **PROMETHEUS,
            "jsonData": {"timeInterval": "15s"},
        },
        {
            "name": "Alertmanager",
            "uid": "alertmanager",
            "type": "alertmanager",
            "url": alertmanager,
            "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
        },
    ]
    if stores:
        found.append(_lines("Logs", "", stores, matcherRegex='"trace_id": ?"([0-9a-f]{32})"'))
    if stores and stores.traces:
        found.append(_lines("Traces", "/traces", stores, matcherRegex="trace_id", matcherType="label"))
    return [{"access": "proxy", "editable": False, **source} for source in found]


def _lines(name: str, path: str, stores: Stores, **where: str) -> dict[str, Any]:
    """A store of lines; where: how a line tells which trace it belongs to."""
    settings: dict[str, Any] = {"httpHeaderName1": HEADER}
    if stores.traces:
        # Grafana reads variables into what it is provisioned with: a dollar of its own is written twice.
        page = f"{stores.page}$${{__value.raw}}"
        settings["derivedFields"] = [{"name": "trace", "url": page, "urlDisplayLabel": "Waterfall", **where}]
    return {
        "name": name,
        "uid": name.lower(),
        "type": LINES,
        "url": stores.url + path,
        "jsonData": settings,
        "secureJsonData": {"httpHeaderValue1": stores.word},
    }
