"""The edge as a client on the internet sees it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Of a machine that stands still for a moment, too: whoever waits that long was not served.
TIMEOUT = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Edge:
    """`domain` is reached at 127.0.0.1: what a DNS entry would say of a public address."""

    domain: str
    https_port: int
    http_port: int
    ca_file: Path

    @property
    def authority(self) -> str:
        return f"{self.domain}:{self.https_port}"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.https_port), TIMEOUT)

    def connection(self) -> http.client.HTTPSConnection:
        return _Resolved(self.domain, self.https_port, self.context())

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        used = connection or self.connection()
        try:
            used.request(method, path, body, dict(headers or {}))
            response = used.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            if connection is None:
                used.close()

    def get(self, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, named)


class _Resolved(http.client.HTTPSConnection):
    def __init__(self, domain: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(domain, port, timeout=TIMEOUT, context=context)
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
