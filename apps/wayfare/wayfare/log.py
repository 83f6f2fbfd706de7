"""Logs: one JSON object a line on stdout, with the replica's identity and the request's correlation id."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict
from datetime import UTC, datetime

from .settings import Identity, Settings

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
# Where traces are taken: what says which one a line belongs to.
TRACE_IDS: list[Callable[[], dict[str, str]]] = []
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def begin_request(offered: str | None) -> str:
    """Adopt the caller's correlation id, or make one; none is adopted that could break a log line."""
    identifier = offered if offered and _ACCEPTABLE_ID.fullmatch(offered) else uuid.uuid4().hex
    REQUEST_ID.set(identifier)
    return identifier


class JsonLines(logging.Formatter):
    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._identity = asdict(identity)

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._identity,
        }
        if REQUEST_ID.get():
            entry["request_id"] = REQUEST_ID.get()
        for ids in TRACE_IDS:
            entry |= ids()
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(settings.identity))
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    # Drivers narrate every reconnect attempt; our own lines say when a dependency goes and comes back.
    for name in ("psycopg.pool", "aiohttp.server", "asyncio", "opentelemetry"):
        logging.getLogger(name).setLevel(max(logging.ERROR, logging.getLogger().level))
