"""One HAProxy's runtime API over mutual TLS: asked for its servers, told their state and weights."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from ..errors import SlipwayError
from .router_address import Address
from .router_state import Order, ServerState, parse_orders, parse_servers

TIMEOUT = 5.0
# Of a router that was reached and then said nothing, as one on a busy host that has just been started.
TRIES = 3


def client_context(folder: Path) -> ssl.SSLContext:
    """TLS as this host, trusting the environment's CA only; `folder` holds ca.crt, tls.crt, tls.key."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(str(folder / "tls.crt"), str(folder / "tls.key"))
    return context


class Router:
    """One HAProxy."""

    def __init__(self, address: Address, context: ssl.SSLContext) -> None:
        self.address = address
        self._context = context

    def servers(self) -> dict[str, ServerState]:
        return parse_servers(self._command("show stat -1 4 -1"))

    def table(self) -> str:
        """HAProxy's own account of what its servers were told, as it reads it back at its next start."""
        return self._command("show servers state")

    def orders(self) -> dict[str, Order]:
        return parse_orders(self.table())

    def set_state(self, backend: str, server: str, state: str) -> None:
        self._told(f"set server {backend}/{server} state {state}")

    def shut_sessions(self, backend: str, server: str) -> None:
        self._told(f"shutdown sessions server {backend}/{server}")

    def set_weights(self, wanted: Mapping[str, int]) -> bool:
        """Give the servers it knows their weights, one by one; True when any had another."""
        before = self.orders()
        changes = {
            server: weight
            for server, weight in wanted.items()
            if server in before and before[server].weight != weight
        }
        # What rises first: a backend never has no weight at all.
        for server, weight in sorted(changes.items(), key=lambda change: -change[1]):
            self._told(f"set server {before[server].backend}/{server} weight {weight}")
        after = self.orders()
        wrong = [server for server, weight in changes.items() if after[server].weight != weight]
        if wrong:
            raise SlipwayError(
                f"{self.address.name} did not take the new weight of {', '.join(wrong)}",
                "Deploy again; read the router's log if it happens again",
            )
        return bool(changes)

    def _told(self, command: str) -> None:
        answer = self._command(command).strip()
        if answer:
            raise SlipwayError(
                f"{self.address.name} refuses `{command}`: {answer}",
                "Check that its configuration is the deployed one; deploy again",
            )

    def _command(self, line: str) -> str:
        """What it answers. Every command may be said twice: each names a state, none a change."""
        target = (self.address.address, self.address.port)
        try:
            for _ in range(TRIES - 1):
                # One that cannot be reached is told at once: others wait for the verdict.
                with socket.create_connection(target, TIMEOUT) as plain, contextlib.suppress(TimeoutError):
                    return self._ask(plain, line)
            with socket.create_connection(target, TIMEOUT) as plain:
                return self._ask(plain, line)
        except OSError as error:
            raise SlipwayError(
                f"{self.address.name} ({target[0]}:{target[1]}) does not answer: {error}",
                "Start it (deploy again), or take that host out of the stack",
            ) from error

    def _ask(self, plain: socket.socket, line: str) -> str:
        with self._context.wrap_socket(plain, server_hostname=self.address.address) as channel:
            channel.sendall(f"{line}\n".encode())
            return _read_all(channel)


def _read_all(channel: ssl.SSLSocket) -> str:
    chunks = []
    while chunk := channel.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks).decode()
