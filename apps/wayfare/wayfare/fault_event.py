"""What is told of a fault: what is known to be of ours, and nothing that a user may have typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EVENT = (
    "event_id",
    "timestamp",
    "level",
    "logger",
    "platform",
    "release",
    "environment",
    "server_name",
    "sdk",
)
# No message of an exception is among it: it may quote a booking.
_EXCEPTION = ("type", "module", "mechanism", "stacktrace", "exception_id", "parent_id")


def stripped(event: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any] | None:
    """The event with that alone; None where it has no traceback."""
    exceptions = (event.get("exception") or {}).get("values") or []
    if not exceptions:
        return None
    told = {key: event[key] for key in _EVENT if key in event}
    told["exception"] = {
        "values": [{key: it[key] for key in _EXCEPTION if it.get(key) is not None} for it in exceptions]
    }
    told["tags"] = {name: value for name, value in tags.items() if value}
    return told
