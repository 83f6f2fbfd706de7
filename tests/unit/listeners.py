"""Real servers on this machine that are told things: they keep what is posted, and what is mailed."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted and answers with the statuses it is given, the last one for ever.

    before: is called before it answers, and may take its time.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, *statuses: int, before: Callable[[], object] = lambda: None, address: str = "127.0.0.1"
    ) -> None:
        super().__init__((address, 0), _Post)
        self.statuses, self.before = list(statuses), before
        self.got: list[tuple[str, Any, dict[str, str]]] = []


class _Post(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body), dict(self.headers.items())))
        self.server.before()
        status = self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class MailServer(socketserver.ThreadingTCPServer):
    """A small SMTP server: STARTTLS if it has a context, any login, one refusal if it is given one."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(
        self, context: ssl.SSLContext | None = None, refusal: str = "", address: str = "127.0.0.1"
    ) -> None:
        super().__init__((address, 0), _Smtp)
        self.context, self.refusal = context, refusal
        self.commands: list[str] = []
        self.mails: list[bytes] = []


class _Smtp(socketserver.StreamRequestHandler):
    server: MailServer

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            self.server.commands.append(line[:4].upper() + line[4:])
            verb = line.split()[0].upper()
            if verb == "EHLO":
                offer = "250-STARTTLS\r\n" if self.server.context else ""
                self.say(f"250-here\r\n{offer}250 AUTH PLAIN")
            elif verb == "STARTTLS" and self.server.context:
                self.say("220 go on")
                try:
                    self.request = self.server.context.wrap_socket(self.request, server_side=True)
                except ssl.SSLError:  # the client does not trust the certificate
                    return None
                self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
            elif verb == "MAIL" and self.server.refusal:
                self.say(self.server.refusal)
            elif verb == "DATA":
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines))
                self.say("250 taken")
            elif verb == "QUIT":
                return self.say("221 bye")
            else:
                self.say("235 welcome" if verb == "AUTH" else "250 fine")
        return None
