"""Bounded load on the edge: a few clients with kept connections, each at its own pace, all answers judged."""

from __future__ import annotations

import hashlib
import http.client
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from edge import Answer, Edge

CLIENTS = 4
# Below the stack's rate limit (100 a second for each client address and service) with all clients together.
REQUESTS_A_SECOND = 20.0
MOST_FAILURES_KEPT = 30
# Where there is no answer at all: refused, reset, timed out, or cut short.
NO_ANSWER = (OSError, http.client.HTTPException)


class Load:
    """`with Load(edge) as load: …`; afterwards `load.counts` and `load.failures` tell what happened."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._clients = [threading.Thread(target=self._work, name=f"client-{n}") for n in range(CLIENTS)]
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
            client.join(timeout=60)

    @property
    def failed(self) -> int:
        return self.counts["failed"]

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return f"load: {parts or 'nothing'}; slowest answer {self.slowest:.2f} s"

    def _work(self) -> None:
        connection = self._edge.connection()
        asks: list[Callable[[http.client.HTTPConnection], str]] = [self._page, self._search, self._echo]
        turn = 0
        while not self._ended.is_set():
            begun = time.monotonic()
            ask = asks[turn % len(asks)]
            turn += 1
            try:
                wrong = ask(connection)
            except NO_ANSWER as problem:
                wrong = f"no answer: {problem!r}"
            if wrong:
                # A client whose connection failed begins anew, so that one failure is counted once.
                connection.close()
                connection = self._edge.connection()
            took = time.monotonic() - begun
            self._record(ask.__name__.removeprefix("_"), wrong, took)
            self._ended.wait(max(0.0, 1 / REQUESTS_A_SECOND - took))
        connection.close()

    def _record(self, kind: str, wrong: str, took: float) -> None:
        with self._lock:
            self.counts[kind] += 1
            self.counts["failed"] += bool(wrong)
            self.slowest = max(self.slowest, took)
            if wrong and len(self.failures) < MOST_FAILURES_KEPT:
                now = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
                self.failures.append(f"{now} {kind} after {took:.2f} s: {wrong}")

    def _page(self, connection: http.client.HTTPConnection) -> str:
        return _judge(self._edge.request("GET", "/", connection=connection))

    def _search(self, connection: http.client.HTTPConnection) -> str:
        day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
        path = f"/api/journeys?from=Paris&to=Milan&date={day}"
        answer = self._edge.request("GET", path, connection=connection)
        return _judge(answer) or ("" if answer.json()["journeys"] else "no journeys")

    def _echo(self, connection: http.client.HTTPConnection) -> str:
        body = secrets.token_bytes(4096)
        answer = self._edge.request("POST", "/api/echo", body=body, connection=connection)
        correct = hashlib.sha256(body).hexdigest() in answer.body.decode(errors="replace")
        return _judge(answer) or ("" if correct else "not what was sent")


def _judge(answer: Answer) -> str:
    if answer.status == 200:
        return ""
    return f"{answer.status} {answer.body[:120]!r} request {answer.headers['X-Request-ID']}"
