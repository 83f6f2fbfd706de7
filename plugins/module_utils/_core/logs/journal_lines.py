"""What others are told of an entry of a host's journal: who said it, where, and of which request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The store skips a longer line (256 KB) without a word. A character may take six bytes as JSON.
LONGEST, CLIPPED = 250_000, 30_000
# A longer message is not looked into.
LOOKED_INTO = 1 << 20
LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
PRIORITIES = {str(number): level for number, level in enumerate(LEVELS)}
# syslog's numbers of logins and of what is done with privileges: LOG_AUTH and LOG_AUTHPRIV.
AUDITED = ("4", "10")
# Under which the engine runs, as journald itself says: no sender can set a field that begins with "_".
ENGINE = "docker.service"
RELEASE = re.compile(r"/releases/([^/]+)/")
REQUEST = ("request_id", "correlation_id", "x_request_id")


@dataclass(frozen=True)
class Line:
    """One entry of the journal. moment: seconds since the epoch. text: its fields as the store gets them."""

    cursor: str
    seq: str
    moment: float
    audit: bool
    fields: Mapping[str, str]
    text: str


def line(entry: dict[str, Any], host: str) -> Line:
    """What the store is told of an entry; of one that nobody foresaw as much as can be read of it."""
    try:
        return _line(entry, host)
    except (ValueError, LookupError, TypeError, RecursionError):
        return _plain(entry, host)


def _plain(entry: dict[str, Any], host: str) -> Line:
    said, moment, seq = entry.get("MESSAGE"), str(entry["__REALTIME_TIMESTAMP"]), _seq(entry)
    told = {"_time": moment, "host": host, "source": "host", "component": "host"}
    told["_msg"] = (said[:CLIPPED] if isinstance(said, str) else "") or "(unreadable)"
    told |= {"seq": seq} if seq else {}
    audit = entry.get("SYSLOG_FACILITY") in AUDITED
    return Line(str(entry["__CURSOR"]), seq, int(moment) / 1e6, audit, told, json.dumps(told))


def _line(entry: dict[str, Any], host: str) -> Line:
    """Who said it, where, of which release, and of which request."""
    said = _text(entry.get("MESSAGE"))
    inner = _object(said)
    told = {"_time": str(entry["__REALTIME_TIMESTAMP"]), "_msg": said or "(empty)", "host": host}
    told |= _of_container(entry) if _engines(entry) else _of_host(entry)
    level = inner.get("level") or inner.get("severity")
    told["level"] = str(level or PRIORITIES.get(_text(entry.get("PRIORITY")), ""))
    told["request_id"] = next((str(inner[key]) for key in REQUEST if inner.get(key)), "")
    told |= {key: str(inner.get(key) or "") for key in ("trace_id", "span_id")}
    audit = inner.get("audit") is True or (
        told["source"] == "host" and _text(entry.get("SYSLOG_FACILITY")) in AUDITED
    )
    told["seq"] = _seq(entry)
    told = {key: value for key, value in told.items() if value}
    text = json.dumps(told)
    if len(text) > LONGEST:
        told |= {"_msg": told["_msg"][:CLIPPED], "clipped": str(len(said))}
        text = json.dumps(told)
    moment = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    return Line(str(entry["__CURSOR"]), _seq(entry), moment, audit, told, text)


def _seq(entry: dict[str, Any]) -> str:
    """Of this journal: one that is made anew counts from the beginning."""
    number = entry.get("__SEQNUM")
    return f"{str(entry.get('__SEQNUM_ID', ''))[:8]}-{number}" if number else ""


def _engines(entry: dict[str, Any]) -> bool:
    """Whether it is a container's: any user can write a name, and what the engine says itself has none."""
    return bool(entry.get("CONTAINER_NAME")) and entry.get("_SYSTEMD_UNIT") == ENGINE


def _of_container(entry: dict[str, Any]) -> dict[str, str]:
    files = RELEASE.search(_text(entry.get("COM_DOCKER_COMPOSE_PROJECT_CONFIG_FILES")))
    job = _text(entry.get("SLIPWAY_JOB"))
    return {
        "source": "container",
        # A job's container is made for one run and has a name that nobody knows.
        "component": job or _text(entry.get("COM_DOCKER_COMPOSE_SERVICE")) or _text(entry["CONTAINER_NAME"]),
        "container": _text(entry["CONTAINER_NAME"]),
        "service": _text(entry.get("SLIPWAY_SERVICE")),
        "pool": _text(entry.get("SLIPWAY_POOL")),
        "replica": _text(entry.get("SLIPWAY_REPLICA")),
        "job": job,
        "release": files[1] if files else "",
    }


def _of_host(entry: dict[str, Any]) -> dict[str, str]:
    identifier, unit = _text(entry.get("SYSLOG_IDENTIFIER")), _text(entry.get("_SYSTEMD_UNIT"))
    own = unit.removesuffix(".service") if unit.endswith(".service") else ""
    return {
        "source": "host",
        # Whatever a user does belongs to the program that says it, not to his session.
        "component": (own if own and not own.startswith("user@") else identifier) or "host",
        "unit": unit,
        "identifier": identifier,
        "pid": _text(entry.get("_PID")),
    }


def _text(value: Any) -> str:
    """A field as text: bytes that are no UTF-8 come as numbers, fields that are there twice as a list."""
    if isinstance(value, list):
        if value and all(isinstance(one, int) for one in value):
            return bytes(value).decode(errors="replace")
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _object(said: str) -> dict[str, Any]:
    if not said.startswith("{") or len(said) > LOOKED_INTO:
        return {}
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
