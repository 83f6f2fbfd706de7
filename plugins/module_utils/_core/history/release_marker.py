"""The newest run as metrics: where dashboards draw their line, and what became of it."""

from __future__ import annotations

from datetime import datetime

from .record import Record

FILE = "state/metrics/runs.prom"


def marker(record: Record) -> str:
    """Prometheus' text format. A run that has not ended, or of which nobody knows when, has begun only."""
    labels = f'what="{record.what}",release="{record.release}",run="{record.id}"'
    lines = _gauge("begun", "When the newest run that may change anything began.", labels, record.begun)
    if record.ended:
        told = f'{labels},outcome="{record.outcome}"'
        lines += _gauge("ended", "When the newest run ended, and what it came to.", told, record.ended)
    return "\n".join([*lines, ""])


def _gauge(what: str, told: str, labels: str, moment: str) -> list[str]:
    name = f"slipway_run_{what}_timestamp_seconds"
    seconds = int(datetime.fromisoformat(moment).timestamp())
    return [f"# HELP {name} {told}", f"# TYPE {name} gauge", f"{name}{{{labels}}} {seconds}"]
