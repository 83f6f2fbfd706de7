"""A Prometheus in memory: it scrapes what a test counts, and speaks the API's form, by call or over HTTP."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.prometheus import Series, series

BOUNDS = (0.01, 0.1, 1.0)


class Edge:
    """One edge host's edge-log: counters by service and pool."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.up = True
        self.counters: dict[tuple[tuple[str, str], ...], float] = {}

    def answer(self, service: str, pool: str, code: str = "2xx", seconds: float = 0.05) -> None:
        own = {"service": service, "pool": pool}
        self._add({**own, "__name__": "slipway_edge_requests_total", "code": code})
        for bound in (*BOUNDS, float("inf")):
            name = "+Inf" if bound == float("inf") else f"{bound:g}"
            rise = 1 if seconds <= bound else 0
            self._add({**own, "__name__": "slipway_edge_request_seconds_bucket", "le": name}, rise)

    def restart(self) -> None:
        self.counters = {}

    def _add(self, labels: dict[str, str], rise: int = 1) -> None:
        key = tuple(sorted(labels.items()))
        self.counters[key] = self.counters.get(key, 0) + rise


class World:
    """Edges, and the Prometheus that scrapes them whenever a test says so."""

    def __init__(self, *hosts: str, start: float = 1000.0) -> None:
        self.now = start
        self.edges = {host: Edge(host) for host in hosts}
        self.values: dict[str, Any] = {}
        self.asked: list[str] = []
        self._samples: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}

    def clock(self) -> float:
        return self.now

    def scrape(self, later: float = 5.0) -> None:
        self.now += later
        for edge in self.edges.values():
            place = {"job": "edge-log", "instance": f"{edge.host}:3903", "host": edge.host}
            self._store({**place, "__name__": "up"}, 1.0 if edge.up else 0.0)
            for key, value in edge.counters.items() if edge.up else ():
                self._store({**place, **dict(key)}, value)

    def ask(self, query: str) -> list[Series]:
        return series(self.answer(query))

    def answer(self, query: str) -> dict[str, Any]:
        """The `data` for the two range selectors that are asked, or for a test's own query."""
        self.asked.append(query)
        if query in self.values:
            return {"resultType": "vector", "result": self.values[query]}
        selected = re.fullmatch(r"(up)?\{(.*)\}\[(\d+)s\]", query)
        assert selected, query
        wanted = self._matchers(selected[2])
        if selected[1]:
            wanted["__name__"] = re.compile("up")
        oldest = self.now - int(selected[3])
        result = []
        for key, samples in self._samples.items():
            labels = dict(key)
            values = [[moment, f"{value:g}"] for moment, value in samples if moment >= oldest]
            if values and all(rule.fullmatch(labels.get(name, "")) for name, rule in wanted.items()):
                result.append({"metric": labels, "values": values})
        return {"resultType": "matrix", "result": result}

    def _matchers(self, text: str) -> dict[str, re.Pattern[str]]:
        found = re.findall(r'(\w+)(=~|=)"([^"]*)"', text)
        return {name: re.compile(rule if way == "=~" else re.escape(rule)) for name, way, rule in found}

    def _store(self, labels: dict[str, str], value: float) -> None:
        self._samples.setdefault(tuple(sorted(labels.items())), []).append((self.now, value))


@contextmanager
def served(answer: Any) -> Iterator[int]:
    """A port that answers /api/v1/query with what `answer(query)` gives: `data`, or (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            given = answer(urllib.parse.parse_qs(form)["query"][0])
            status, body = given if isinstance(given, tuple) else (200, _success(given))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _success(data: Any) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()
