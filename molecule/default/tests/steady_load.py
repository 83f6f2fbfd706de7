"""Bounded load on the edge, of every kind a client makes, each at its own pace, all answers judged.

Short requests on kept connections (pages, searches, uploads of 4 KiB), long downloads and uploads, WebSocket
sessions that stay open, gRPC calls and a stream on one channel: all over TLS, as a client on the internet.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from edge import TIMEOUT, Edge
from load_sessions import (
    CALLS_A_SECOND,
    NO_ANSWER,
    Channel,
    Note,
    day,
    download,
    judge,
    pace,
    upload,
    websocket,
)

# So few that two cores, which are control node, client and all hosts, have time left to deploy.
CLIENTS = int(os.environ.get("SLIPWAY_LOAD_CLIENTS", "2"))
# Of each client; together below the stack's rate limit: 100 a second for each client address and service.
REQUESTS_A_SECOND = 10.0
DOWNLOADS = 1
UPLOADS = 1
WEBSOCKETS = 3
# What fails at once is not tried again at once.
AFTER_A_FAILURE = 0.2
MOST_FAILURES_KEPT = 30

Transfer = Callable[[Edge, http.client.HTTPConnection, threading.Event, Note], str]


class Load:
    """`with Load(edge) as load: …`; afterwards `load.counts` and `load.failures` tell what happened."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._ended = threading.Event()
        self._lock = threading.Lock()
        works: list[Callable[[], None]] = [self._ask] * CLIENTS
        works += [partial(self._transfer, "download", download)] * DOWNLOADS
        works += [partial(self._transfer, "upload", upload)] * UPLOADS
        works += [self._websocket] * WEBSOCKETS
        works += [self._grpc_calls, self._grpc_streams]
        self._channel = Channel(edge)
        self._clients = [threading.Thread(target=work, name=f"client-{n}") for n, work in enumerate(works)]
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0

    def __enter__(self) -> Load:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for client in self._clients:
            client.join(timeout=2 * TIMEOUT)
        self._channel.close()

    @property
    def failed(self) -> int:
        return self.counts["failed"]

    @property
    def sent(self) -> int:
        """Requests of every kind that were brought to an end, and sessions that were opened."""
        kinds = ("page", "search", "echo", "download", "upload", "grpc call", "grpc stream", "websocket")
        return sum(self.counts[kind] for kind in kinds)

    @property
    def truncated(self) -> int:
        return self.counts["download truncated"]

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()) if count)
        return (
            f"load: {self.failed} failed of {self.sent}: {parts}; slowest short answer {self.slowest:.2f} s"
        )

    def _ask(self) -> None:
        connection = self._edge.connection()
        # Mostly the service that releases under test change: new replicas are judged by their share of it.
        asks = [self._page, self._echo, self._search, self._echo]
        turn = 0
        while not self._ended.is_set():
            begun = time.monotonic()
            ask = asks[turn % len(asks)]
            turn += 1
            wrong = _answered(partial(ask, connection))
            if wrong:
                # A client whose connection failed begins anew, so that one failure is counted once.
                connection.close()
                connection = self._edge.connection()
            self._record(ask.__name__.removeprefix("_"), wrong, begun)
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self._ended.wait(pace(begun, REQUESTS_A_SECOND))
        connection.close()

    def _transfer(self, kind: str, transfer: Transfer) -> None:
        connection = self._edge.connection()
        while not self._ended.is_set():
            begun, notes = time.monotonic(), Counter[str]()
            wrong = _answered(partial(transfer, self._edge, connection, self._ended, _into(notes)))
            if wrong:
                connection.close()
                connection = self._edge.connection()
            self._end(kind, wrong, begun, notes)
        connection.close()

    def _websocket(self) -> None:
        while not self._ended.is_set():
            begun, notes = time.monotonic(), Counter[str]()
            self._end("websocket", websocket(self._edge, self._ended, _into(notes)), begun, notes)

    def _grpc_calls(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            self._record("grpc call", self._channel.call(), begun)
            self._ended.wait(pace(begun, CALLS_A_SECOND))

    def _grpc_streams(self) -> None:
        while not self._ended.is_set():
            begun, notes = time.monotonic(), Counter[str]()
            self._end("grpc stream", self._channel.watch(self._ended, _into(notes)), begun, notes)

    def _page(self, connection: http.client.HTTPConnection) -> str:
        return judge(self._edge.request("GET", "/", connection=connection))

    def _search(self, connection: http.client.HTTPConnection) -> str:
        path = f"/api/journeys?from=Paris&to=Milan&date={day()}"
        answer = self._edge.request("GET", path, connection=connection)
        return judge(answer) or ("" if answer.json()["journeys"] else "no journeys")

    def _echo(self, connection: http.client.HTTPConnection) -> str:
        body = secrets.token_bytes(4096)
        answer = self._edge.request("POST", "/api/echo", body=body, connection=connection)
        correct = hashlib.sha256(body).hexdigest() in answer.body.decode(errors="replace")
        return judge(answer) or ("" if correct else "not what was sent")

    def _end(self, kind: str, wrong: str, begun: float, notes: Counter[str]) -> None:
        with self._lock:
            for note, count in notes.items():
                self.counts[f"{kind} {note}"] += count
        # A transfer that was left because the load ended is neither good nor bad.
        if kind in ("download", "upload") and notes["left"]:
            return
        self._record(kind, wrong, begun)
        if wrong:
            self._ended.wait(AFTER_A_FAILURE)

    def _record(self, kind: str, wrong: str, begun: float) -> None:
        took = time.monotonic() - begun
        with self._lock:
            self.counts[kind] += 1
            self.counts["failed"] += bool(wrong)
            if wrong and len(self.failures) < MOST_FAILURES_KEPT:
                now = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
                self.failures.append(f"{now} {kind} after {took:.2f} s: {wrong}")


def _answered(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except NO_ANSWER as problem:
        return f"no answer: {problem!r}"


def _into(notes: Counter[str]) -> Note:
    def note(word: str) -> None:
        notes[word] += 1

    return note
