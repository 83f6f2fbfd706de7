"""Servers that others' services are played by, and how tests wait for them."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Looks that a machine which stalls has time for.
PATIENCE = 120


class Sink(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it over TLS, and answers. before: may take its time, or choose the answer."""

    daemon_threads, block_on_close = True, False

    def __init__(self, tls: Path, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Post)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / "sink.test.crt", tls / "sink.test.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.before: Callable[[], object] = lambda: None
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class _Post(http.server.BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, body))
        self.server.before()
        self.send_response(self.server.status)
        for name, value in {**self.server.headers, "Content-Length": str(len(self.server.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: http.server.ThreadingHTTPServer) -> Iterator[http.server.ThreadingHTTPServer]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError, KeyError, ValueError):
            if found := look():
                return found
        time.sleep(0.2)  # between two looks
    return look()
