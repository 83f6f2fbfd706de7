"""Somebody's intake for logs, over OTLP/HTTP, as a host that sends there sees it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..asking import fault, patience, trust
from .journal import UnavailableError
from .otlp_logs import JSON, PROTOBUF, rejected

# Seconds that one read or write may stand still, and that a whole request may take: a byte now and then would
# hold the lines, and what is told of them, for ever.
TIMEOUT, DEADLINE = 30.0, 60.0
# Shorter than the minute or so after which servers close what nobody uses: who sends must do so first.
IDLE = 30.0
# Of an answer as much is read: one that says more has said enough.
ANSWER = 1 << 16
QUOTED = 200
TYPES = {JSON: "application/json", PROTOBUF: "application/x-protobuf"}
# They say nothing of the lines, but of the address, the key, the way or the moment: somebody can mend that.
MENDABLE = {401, 403, 404, 405, 407, 408, 415, 425, 429}


@dataclass(frozen=True)
class Destination:
    """As a release says it. headers are secrets. host, stack, environment: where the lines are from."""

    url: str
    headers: Mapping[str, str]
    encoding: str
    audit: bool
    host: str
    stack: str
    environment: str

    @classmethod
    def read(cls, file: Path) -> Destination:
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{key: told[key] for key in cls.__dataclass_fields__})
        except (OSError, ValueError, LookupError, TypeError) as error:
            # Not what it says: it holds secrets.
            raise UnavailableError(f"{file} names no destination: {type(error).__name__}") from None


@dataclass(frozen=True)
class Answer:
    """rejected: lines that were taken note of and left out by the receiver. said: quoted, without secrets."""

    status: int
    said: str = ""
    rejected: int = 0
    retry_after: float = 0.0

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """For good: it will say the same of the same lines."""
        return 400 <= self.status < 500 and self.status not in MENDABLE


class Intake:
    """One connection, which is kept; a proxy and its exceptions come from the environment."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination
        parts = urllib.parse.urlsplit(destination.url)
        self._path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._own: dict[str, str] = {}
        try:
            self._client = self._connection(parts)
        except (OSError, ValueError) as error:  # a proxy's address, a bundle that is none
            raise UnavailableError(f"it cannot be reached from here: {error}") from error
        self._used = time.monotonic()
        self._stream: socket.socket | None = None

    def send(self, body: bytes) -> Answer:
        """Whatever the receiver answers; UnavailableError where it does not."""
        headers = {
            "User-Agent": "slipway",
            **self._own,
            **self._to.headers,
            "Content-Type": TYPES[self._to.encoding],
            "Content-Encoding": "gzip",
        }
        try:
            answer, text = self._post(gzip.compress(body, 5), headers)
        except (OSError, http.client.HTTPException) as error:
            self._client.close()
            raise UnavailableError(f"it does not answer: {fault(error)}") from error
        if not answer.isclosed():
            self._client.close()  # there is more, and that is nobody's
        taken = 200 <= answer.status < 300
        left_out, why = rejected(text, self._to.encoding) if taken else (0, text.decode(errors="replace"))
        wait = patience(answer.headers.get("Retry-After")) or 0.0
        return Answer(answer.status, self._without_secrets(_words(why)), left_out, wait)

    def close(self) -> None:
        self._client.close()

    def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        if time.monotonic() - self._used > IDLE:
            self._client.close()  # it is opened again by itself
        kept = self._client.sock is not None
        try:
            return self._once(body, headers)
        except ConnectionError:
            if not kept:
                raise
        # The other side had closed it meanwhile, as some do within seconds.
        self._client.close()
        return self._once(body, headers)

    def _once(self, body: bytes, headers: Mapping[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        self._stream = None
        timer = threading.Timer(DEADLINE, self._cut)
        timer.daemon = True
        timer.start()
        try:
            self._client.request("POST", self._path, body, dict(headers))
            self._stream = self._client.sock
            answer = self._client.getresponse()
            text = answer.read(ANSWER)
        finally:
            timer.cancel()
        self._used = time.monotonic()
        return answer, text

    def _cut(self) -> None:
        if stream := self._stream or self._client.sock:
            with contextlib.suppress(OSError):
                # Not the method of an SSL socket: it would drop the TLS state under the reader's feet.
                socket.socket.shutdown(stream, socket.SHUT_RDWR)

    def _connection(self, parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(parts.scheme, "")
        via = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        login = _login(via)
        place = (via.hostname, via.port or 80) if via.hostname else (host, port)
        if not secure:
            if via.hostname:
                self._path = f"http://{parts.netloc}{self._path}"
                self._own = login
            return http.client.HTTPConnection(*place, timeout=TIMEOUT)
        client = http.client.HTTPSConnection(*place, timeout=TIMEOUT, context=trust())
        if via.hostname:
            client.set_tunnel(host, port, login)
        return client

    def _without_secrets(self, said: str) -> str:
        """A receiver may repeat the key that it does not know."""
        for value in self._to.headers.values():
            for word in (value, *value.split()):
                said = said.replace(word, "…") if len(word) >= 8 else said
        return said[:QUOTED]


def _login(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _words(said: str) -> str:
    """On one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
