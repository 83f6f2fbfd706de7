"""OpenTelemetry's SDK as `tracing` uses it: a fifth of a second of a processor, and 10 MB, to import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SEND_WITHIN = 2.0


class Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set_attribute(self, key: str, value: Any) -> None:
        self._span.set_attribute(key, value)

    def failed(self, why: str) -> None:
        self._span.set_status(trace.StatusCode.ERROR, why)


class Telemetry:
    """Where spans go is in the environment, as OpenTelemetry has it; a thread of the SDK's own sends them."""

    def __init__(self) -> None:
        self._provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(timeout=SEND_WITHIN)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("wayfare")

    def flush(self) -> None:
        self._provider.force_flush()

    def inside(self) -> bool:
        return bool(trace.get_current_span().get_span_context().is_valid)

    def ids(self) -> dict[str, str]:
        """For a log line."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    @contextmanager
    def server(self, name: str, carrier: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator[Span]:
        # Whoever answers knows better than an exception whether it is to blame.
        with self._tracer.start_as_current_span(
            name,
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
            set_status_on_exception=False,
        ) as span:
            yield Span(span)

    @contextmanager
    def client(self, name: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, kind=trace.SpanKind.CLIENT, attributes=attributes
        ) as span:
            yield Span(span)
