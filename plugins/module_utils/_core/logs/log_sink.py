"""The environment's log store as a host that sends there sees it; `log_store` is how it is searched."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .journal import UnavailableError
from .journal_lines import Line

TIMEOUT = 30.0
# Shorter than the proxy's 75: the side that sends must be the one that closes a connection nobody uses.
IDLE = 30.0
# Lines that the store is asked for: more than it is sent within SETTLED seconds.
MOST = 200_000
STARTED = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
STREAM = "host,component"
STORES = {"logs": "", "audit": "/audit"}


@dataclass(frozen=True)
class Settings:
    """name: this host's. host, port: where the store is. tls: folder of this host's certificate."""

    name: str
    host: str
    port: int
    tls: Path

    @classmethod
    def read(cls, file: Path) -> Settings:
        try:
            told = json.loads(file.read_text())
            return cls(str(told["name"]), str(told["host"]), int(told["port"]), file.parent / "tls")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UnavailableError(f"{file} says nothing of a store yet: {error!r}") from error


class Store:
    """The store behind its proxy, which asks for this host's certificate."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.name
        try:
            context = ssl.create_default_context(cafile=str(settings.tls / "ca.crt"))
            context.load_cert_chain(settings.tls / "tls.crt", settings.tls / "tls.key")
        except OSError as error:  # ssl's own errors are among them
            raise UnavailableError(f"no certificate to show: {error}") from error
        self._client = http.client.HTTPSConnection(
            settings.host, settings.port, timeout=TIMEOUT, context=context
        )
        self._used = time.monotonic()

    def send(self, store: str, lines: Sequence[Line]) -> None:
        """Returns when the store has taken all of them."""
        asked = urllib.parse.urlencode({"_stream_fields": STREAM})
        body = "".join(f"{one.text}\n" for one in lines).encode()
        self._ask(f"{STORES[store]}/insert/jsonline?{asked}", body, "application/stream+json")

    def kept(self, store: str, since: float) -> set[str]:
        """Numbers of this host's lines that the store has, from a moment on."""
        begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(since - 1, 0)))
        query = f"_time:>={begin} host:={json.dumps(self._name)} seq:* | limit {MOST} | fields seq"
        body = urllib.parse.urlencode({"query": query}).encode()
        answer = self._ask(f"{STORES[store]}/select/logsql/query", body, "application/x-www-form-urlencoded")
        return {str(json.loads(row)["seq"]) for row in answer.splitlines() if row.strip()}

    def started(self) -> list[str]:
        """When the stores' processes began: by another answer one has lost what it had in memory."""
        told = [self._ask(f"{path}/metrics").decode(errors="replace") for path in STORES.values()]
        return [moment for one in told for moment in STARTED.findall(one)]

    def close(self) -> None:
        self._client.close()

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        if time.monotonic() - self._used > IDLE:
            self._client.close()  # it is opened again by itself
        try:
            headers = {"Content-Type": kind} if body else {}
            self._client.request("POST" if body else "GET", path, body, headers)
            answer = self._client.getresponse()
            told = answer.read()
            self._used = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self._client.close()
            raise UnavailableError(f"the store does not answer: {error!r}") from error
        if answer.status not in (http.client.OK, http.client.NO_CONTENT):
            raise UnavailableError(f"the store answers {answer.status}: {told[:200]!r}")
        return told
