"""Lines of a host's journal as OpenTelemetry's protocol has them: one request of OTLP/HTTP; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .journal_lines import Line
from .otlp_protobuf import decoded, encoded

JSON, PROTOBUF = "json", "protobuf"

# OpenTelemetry's numbers of levels: as its table has syslog's, and what loggers say; pino counts in tens.
SEVERITIES = {
    **dict.fromkeys(("trace", "10"), 1),
    **dict.fromkeys(("debug", "20"), 5),
    **dict.fromkeys(("info", "information", "informational", "log", "30"), 9),
    "notice": 10,
    **dict.fromkeys(("warning", "warn", "40"), 13),
    **dict.fromkeys(("error", "err", "50"), 17),
    **dict.fromkeys(("crit", "critical"), 18),
    "alert": 19,
    **dict.fromkeys(("emerg", "emergency", "fatal", "panic", "60"), 21),
}
# Fields that say whose a line is; they are told once for all lines of one speaker.
RESOURCE = {
    "container": "container.name",
    "replica": "service.instance.id",
    "pool": "slipway.pool",
    "release": "slipway.release",
    "component": "slipway.component",
    "source": "slipway.source",
    "job": "slipway.job",
}
ATTRIBUTES = {
    "request_id": "request_id",
    "unit": "systemd.unit",
    "identifier": "syslog.identifier",
    "clipped": "slipway.clipped",
}
# An id of any other form would have the whole request refused; zeros mean none.
TRACE = re.compile(r"(?!0+$)[0-9a-fA-F]{32}")
SPAN = re.compile(r"(?!0+$)[0-9a-fA-F]{16}")


def request(lines: Sequence[Line], environment: str, stack: str) -> dict[str, Any]:
    """What one request says, in the words of OTLP's JSON. Lines of one speaker stay in their order."""
    speakers: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = {}
    for line in lines:
        own = tuple(_resource(line.fields, environment, stack))
        speakers.setdefault(own, []).append(_record(line))
    told = [
        {
            "resource": {"attributes": [_attribute(key, value) for key, value in own]},
            "scopeLogs": [{"scope": {"name": "slipway"}, "logRecords": records}],
        }
        for own, records in speakers.items()
    ]
    return {"resourceLogs": told}


def body(told: Mapping[str, Any], encoding: str) -> bytes:
    """As it is sent. Half a surrogate pair, which an application may have written, is no text to others."""
    if encoding == PROTOBUF:
        return encoded(told)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def rejected(answer: bytes, encoding: str) -> tuple[int, str]:
    """What a receiver has left out of a request that it took: how many lines, and why."""
    try:
        if encoding == PROTOBUF:
            partial = dict(decoded(bytes(dict(decoded(answer)).get(1, b""))))
            count, why = partial.get(1, 0), bytes(partial.get(2, b"")).decode(errors="replace")
        else:
            told = json.loads(answer)["partialSuccess"]
            count, why = told.get("rejectedLogRecords") or 0, str(told.get("errorMessage") or "")
        return max(0, int(count)), why
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return 0, ""


def _resource(fields: Mapping[str, str], environment: str, stack: str) -> Iterator[tuple[str, str]]:
    yield "service.name", fields.get("service") or fields["component"]
    yield "host.name", fields["host"]
    yield "deployment.environment", environment
    yield "slipway.stack", stack
    for field, key in RESOURCE.items():
        if value := fields.get(field):
            yield key, value


def _record(line: Line) -> dict[str, Any]:
    fields = line.fields
    moment = f"{fields['_time']}000"  # microseconds
    told: dict[str, Any] = {
        # The journal's time: when it was heard. What was said may have another one, of its own.
        "timeUnixNano": moment,
        "observedTimeUnixNano": moment,
        "body": {"stringValue": fields["_msg"]},
    }
    if level := fields.get("level"):
        told["severityText"] = level
        told |= {"severityNumber": number} if (number := SEVERITIES.get(level.lower())) else {}
    attributes = [(key, fields[field]) for field, key in ATTRIBUTES.items() if field in fields]
    if line.seq:
        # The same when it is sent twice, so that a receiver may know it again.
        attributes.append(("log.record.uid", f"{fields['host']}/{line.seq}"))
    for field, key, form in (("trace_id", "traceId", TRACE), ("span_id", "spanId", SPAN)):
        value = fields.get(field, "")
        if form.fullmatch(value):
            told[key] = value.lower()
        elif value:
            attributes.append((field, value))
    told["attributes"] = [_attribute(key, value) for key, value in attributes]
    if line.audit:
        told["attributes"].append({"key": "slipway.audit", "value": {"boolValue": True}})
    if fields.get("pid", "").isdecimal():
        told["attributes"].append({"key": "process.pid", "value": {"intValue": fields["pid"]}})
    return told


def _attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
