"""Light load from outside: one request at a time, each on a verified TLS connection of its own."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from types import TracebackType

# Below any rate limit of the example stacks (600 requests a minute).
PAUSE = 0.2
TIMEOUT = 30.0


class Load:
    """Asks for the front page until it is left; counts answers, keeps every failure's words."""

    def __init__(self, domain: str, port: int, authority: str) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._domain = domain
        self._port = port
        self._context = ssl.create_default_context(cadata=authority)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending.wait(PAUSE):
            try:
                status = self._ask()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                continue
            if status == 200:
                self.answered += 1
            else:
                self.failures.append(f"status {status}")

    def _ask(self) -> int:
        plain = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        with self._context.wrap_socket(plain, server_hostname=self._domain) as channel:
            connection = http.client.HTTPSConnection(self._domain)
            connection.sock = channel
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            return answer.status
