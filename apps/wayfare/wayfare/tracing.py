"""Traces, by OpenTelemetry: only where the environment names a collector, else nothing is imported and nothing done.

Nothing ever waits for the collector: what it has no room for, or is not there for, is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from .log import REQUEST_ID, TRACE_IDS

SEND_EVERY_MS = 1000
SEND_WITHIN = 2.0
LAST_WORDS = 1.0

Carrier = Mapping[str, str]


class _Nothing:
    """Stands for a span where there is none."""

    def set_attribute(self, key: str, value: object) -> None:
        del key, value

    def failed(self, why: str) -> None:
        del why


class _Span:
    def __init__(self, span: Any, error: Any) -> None:
        self._span, self._error = span, error

    def set_attribute(self, key: str, value: Any) -> None:
        self._span.set_attribute(key, value)

    def failed(self, why: str) -> None:
        self._span.set_status(self._error, why)


class _Tracing:
    def __init__(self) -> None:
        # Half a second of a busy processor: only for those who want it.
        from opentelemetry import propagate, trace
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.api, self.propagate = trace, propagate
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(timeout=SEND_WITHIN), schedule_delay_millis=SEND_EVERY_MS)
        )
        self.tracer = self.provider.get_tracer("wayfare")
        TRACE_IDS.append(self.ids)

    def inside(self) -> bool:
        return bool(self.api.get_current_span().get_span_context().is_valid)

    def ids(self) -> dict[str, str]:
        """For a log line."""
        context = self.api.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": self.api.format_trace_id(context.trace_id),
            "span_id": self.api.format_span_id(context.span_id),
        }


_tracing: _Tracing | None = None


def configure(environ: Mapping[str, str]) -> None:
    global _tracing
    if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
        _tracing = _Tracing()


def end() -> None:
    """Send what there is, within a second."""
    if _tracing:
        flushing = threading.Thread(target=_tracing.provider.force_flush, daemon=True)
        flushing.start()
        flushing.join(LAST_WORDS)


@contextmanager
def answering(name: str, carrier: Carrier, **attributes: object) -> Iterator[_Span | _Nothing]:
    """Around the answer to a request, whose headers say which trace it belongs to."""
    if _tracing is None:
        yield _Nothing()
        return
    context = _tracing.propagate.extract(carrier)
    attributes |= {"request_id": REQUEST_ID.get()}
    with _span(_tracing, name, "SERVER", attributes, context) as span:
        yield span


@contextmanager
def asking(name: str, system: str, **attributes: object) -> Iterator[_Span | _Nothing]:
    """Around a question to another, within a request; a probe's question is in no trace."""
    if _tracing is None or not _tracing.inside():
        yield _Nothing()
        return
    with _span(_tracing, name, "CLIENT", {"peer.service": system} | attributes, None) as span:
        yield span


@contextmanager
def _span(
    tracing: _Tracing, name: str, kind: str, attributes: Mapping[str, object], context: Any
) -> Iterator[_Span]:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    with tracing.tracer.start_as_current_span(
        name, context=context, kind=tracing.api.SpanKind[kind], attributes=named
    ) as span:
        yield _Span(span, tracing.api.StatusCode.ERROR)


def headers() -> dict[str, str]:
    """What tells another which trace this is."""
    carrier: dict[str, str] = {}
    if _tracing and _tracing.inside():
        _tracing.propagate.inject(carrier)
    return carrier


def commented(query: str, parameters: object) -> str:
    """The statement, and whose it is in a comment: what PostgreSQL logs of it leads back to the request.

    As https://google.github.io/sqlcommenter/ has it. Statements are told apart without their comments.
    """
    told = {"request_id": REQUEST_ID.get(), "traceparent": headers().get("traceparent", "")}
    words = ",".join(f"{key}='{quote(value, safe='')}'" for key, value in sorted(told.items()) if value)
    if not words:
        return query
    # With parameters, a percent sign is psycopg's.
    return f"{query} /*{words if parameters is None else words.replace('%', '%%')}*/"
