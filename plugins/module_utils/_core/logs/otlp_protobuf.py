"""OTLP's messages in Protocol Buffers' binary form, as far as logs need them; pure.

Some receivers document no other form. What is written is what `otlp_logs` says in OTLP's JSON: the names are
the same, and each message has few fields, so that nothing but this is needed of Protocol Buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Of opentelemetry-proto: message -> name of a field in JSON -> its number, and what it holds.
MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "ExportLogsServiceRequest": {"resourceLogs": (1, "ResourceLogs")},
    "ResourceLogs": {"resource": (1, "Resource"), "scopeLogs": (2, "ScopeLogs")},
    "Resource": {"attributes": (1, "KeyValue")},
    "ScopeLogs": {"scope": (1, "InstrumentationScope"), "logRecords": (2, "LogRecord")},
    "InstrumentationScope": {"name": (1, "string")},
    "LogRecord": {
        "timeUnixNano": (1, "fixed64"),
        "severityNumber": (2, "varint"),
        "severityText": (3, "string"),
        "body": (5, "AnyValue"),
        "attributes": (6, "KeyValue"),
        "traceId": (9, "hex"),
        "spanId": (10, "hex"),
        "observedTimeUnixNano": (11, "fixed64"),
    },
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "AnyValue": {"stringValue": (1, "string"), "boolValue": (2, "varint"), "intValue": (3, "varint")},
}


def encoded(told: Mapping[str, Any], message: str = "ExportLogsServiceRequest") -> bytes:
    found = bytearray()
    for name, (number, kind) in MESSAGES[message].items():
        value = told.get(name)
        for one in value if isinstance(value, list) else () if value is None else (value,):
            found += _field(number, kind, one)
    return bytes(found)


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind == "varint":
        return _varint(number << 3 | _VARINT) + _varint(int(value))
    if kind == "fixed64":
        return _varint(number << 3 | _FIXED64) + struct.pack("<Q", int(value))
    if kind == "string":
        held = str(value).encode(errors="replace")
    else:
        held = bytes.fromhex(value) if kind == "hex" else encoded(value, kind)
    return _varint(number << 3 | _BYTES) + _varint(len(held)) + held


def _varint(value: int) -> bytes:
    """Of a number that is not negative: seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def decoded(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a message by number; ValueError where it is none."""
    place = 0
    while place < len(data):
        tag, place = _read(data, place)
        if tag & 7 == _VARINT:
            value, place = _read(data, place)
            yield tag >> 3, value
            continue
        size, place = (
            _read(data, place) if tag & 7 == _BYTES else ({_FIXED64: 8, _FIXED32: 4}[tag & 7], place)
        )
        if place + size > len(data):
            raise ValueError("a field ends after its message")
        yield tag >> 3, data[place : place + size]
        place += size


def _read(data: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while shift < 64:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte <= 0x7F:
            return value, place
    raise ValueError("a number has no end")
