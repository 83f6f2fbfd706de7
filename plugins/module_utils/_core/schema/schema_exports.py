"""The part of the schema that says who else gets logs and traces: whatever speaks OTLP over HTTP."""

from __future__ import annotations

from ..logs.otlp_logs import JSON, PROTOBUF
from .forms import SECRET
from .kinds import Boolean, Choice, Key, Table
from .schema_hooks import URL

ENCODINGS = (JSON, PROTOBUF)


def _destination(signal: str, example: str) -> dict[str, Key]:
    return {
        "url": Key(URL, f"Whole URL of its OTLP intake for {signal}, `{example}`."),
        "headers_secret": Key(
            SECRET, "Declared secret with headers to send, one a line: `DD-API-KEY: …` for example.", None
        ),
    }


TRACE_EXPORT = Table("trace export", _destination("traces", "https://tempo.example.com/v1/traces"))
LOG_EXPORT = Table(
    "log export",
    {
        **_destination("logs", "https://loki.example.com/otlp/v1/logs"),
        "encoding": Key(
            Choice(ENCODINGS), "How lines are written: as JSON, or in Protocol Buffers' binary form.", JSON
        ),
        "audit": Key(
            Boolean(),
            "Whether it also gets the lines that say who did what, which `audit_retention` is about.",
            False,
        ),
    },
)
