"""Traces, where the environment names a collector; else nothing is imported and nothing done.

Nothing ever waits for the collector: what it has no room for, or is not there for, is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import quote

from .log import REQUEST_ID, TRACE_IDS

LAST_WORDS = 1.0

# One, or none.
_telemetry: list[Any] = []


class NoSpan:
    """Stands for a span where there is none."""

    def set_attribute(self, key: str, value: object) -> None:
        del key, value

    def failed(self, why: str) -> None:
        del why


def configure(environ: Mapping[str, str]) -> None:
    if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
        telemetry = import_module(".telemetry", __package__).Telemetry()
        _telemetry.append(telemetry)
        TRACE_IDS.append(telemetry.ids)


def end() -> None:
    """Send what there is, within a second."""
    for telemetry in _telemetry:
        flushing = threading.Thread(target=telemetry.flush, daemon=True)
        flushing.start()
        flushing.join(LAST_WORDS)


@contextmanager
def answering(name: str, carrier: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator[Any]:
    """Around the answer to a request, whose headers say which trace it belongs to."""
    if not _telemetry:
        yield NoSpan()
        return
    with _telemetry[0].server(name, carrier, attributes) as span:
        yield span


@contextmanager
def asking(name: str, system: str, attributes: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Around a question to another, within a request; a probe's question is in no trace."""
    if not _telemetry or not _telemetry[0].inside():
        yield NoSpan()
        return
    with _telemetry[0].client(name, {"peer.service": system, **(attributes or {})}) as span:
        yield span


def headers() -> dict[str, str]:
    """What tells another which trace this is."""
    return _telemetry[0].headers() if _telemetry else {}


def commented(query: str, parameters: object) -> str:
    """The statement, and whose it is in a comment: what PostgreSQL logs of it leads back to the request.

    As https://google.github.io/sqlcommenter/ has it. Statements are told apart without their comments.
    """
    told = {"request_id": REQUEST_ID.get(), "traceparent": headers().get("traceparent", "")}
    words = ",".join(f"{key}='{quote(value, safe='')}'" for key, value in told.items() if value)
    if not words:
        return query
    # With parameters, a percent sign is psycopg's.
    return f"{query} /*{words if parameters is None else words.replace('%', '%%')}*/"
