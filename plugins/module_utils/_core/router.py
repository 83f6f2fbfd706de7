"""HAProxy's runtime API over mutual TLS: move replicas in and out of the traffic on every router."""

from __future__ import annotations

import csv
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from .errors import SlipwayError

TIMEOUT = 5.0
POLL = 0.1
# Bits of `srv_admin_state`: an operator's maintenance and drain; not what a weight of 0 comes to.
FORCED = 0x01 | 0x08
# Columns of `show servers state`.
SERVER, OPERATION, ADMINISTRATION, WEIGHT = 3, 5, 6, 7
RUNNING = "2"
# What a server's name ends in where it stands a second time, for users who are kept on its pool.
STICKY = ":sticky"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Address:
    """Where one router's runtime API listens."""

    name: str
    address: str
    port: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Address:
        return cls(str(values["name"]), str(values["address"]), int(values["port"]))


@dataclass(frozen=True)
class ServerState:
    """One server of one router: its backend, health ("UP", "DOWN", …) and open sessions.

    "DRAIN" is told of a server that was taken out of the traffic and of one whose weight is 0.
    """

    backend: str
    status: str
    sessions: int


@dataclass(frozen=True)
class Order:
    """What one server of one router was told: its weight (0 to 256), and whether to take no new traffic."""

    backend: str
    weight: int
    left_out: bool


def parse_orders(table: str) -> dict[str, Order]:
    """Orders by server name from the answer to `show servers state`."""
    rows = [line.split() for line in table.splitlines()[2:] if line.strip()]
    return {
        row[SERVER]: Order(row[1], int(row[WEIGHT]), bool(int(row[ADMINISTRATION]) & FORCED)) for row in rows
    }


def parse_places(table: str) -> list[tuple[str, str]]:
    """Backend and name of every server, from the answer to `show servers state`."""
    rows = [line.split() for line in table.splitlines()[2:] if line.strip()]
    return [(row[1], row[SERVER]) for row in rows]


def belongs(server: str, host: str) -> bool:
    """Whether a server is one of a host's: `<replica>.<host>`, or the host's own database."""
    return bool(host) and (server == host or server.endswith(f".{host}"))


def healthy_again(table: str, out: str = "") -> str:
    """`show servers state` with every server up and none taken out: only weights shall outlive the router.

    One that starts asks every server anyway; what was true when the table was written may not be now.
    out: the host that is out of service; what its servers were told stays.
    """
    lines = table.strip().splitlines()
    rows = [line.split() for line in lines[2:]]
    for row in rows:
        kept = int(row[ADMINISTRATION]) & FORCED if belongs(row[SERVER], out) else 0
        row[OPERATION], row[ADMINISTRATION] = RUNNING, str(kept)
    return "\n".join([*lines[:2], *(" ".join(row) for row in rows), ""])


def parse_servers(statistics: str) -> dict[str, ServerState]:
    """Servers by name from the answer to `show stat`."""
    rows = [row for row in csv.DictReader(io.StringIO(statistics.lstrip("# "))) if row.get("type") == "2"]
    sessions: dict[str, int] = {}
    for row in rows:
        name = row["svname"].removesuffix(STICKY)
        sessions[name] = sessions.get(name, 0) + int(row["scur"] or 0) + int(row["qcur"] or 0)
    return {
        row["svname"]: ServerState(row["pxname"], row["status"], sessions[row["svname"]])
        for row in rows
        if not row["svname"].endswith(STICKY)
    }


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
        target = (self.address.address, self.address.port)
        try:
            with socket.create_connection(target, TIMEOUT) as plain, self._wrap(plain) as channel:
                channel.sendall(f"{line}\n".encode())
                return _read_all(channel)
        except OSError as error:
            raise SlipwayError(
                f"router on {self.address.name} ({target[0]}:{target[1]}) does not answer: {error}",
                "Start it (deploy again), or take that host out of the stack",
            ) from error

    def _wrap(self, plain: socket.socket) -> ssl.SSLSocket:
        return self._context.wrap_socket(plain, server_hostname=self.address.address)


class Routers:
    """All routers that may send traffic to a replica. A change counts when every one of them confirms it.

    `forgiving`: one that does not answer is passed over from then on, as on the way back from a release that
    cost a host: its router can be told nothing, and must not keep the others from going home.
    """

    def __init__(
        self,
        routers: Sequence[Router],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        forgiving: bool = False,
    ) -> None:
        self._routers = list(routers)
        self._clock = clock
        self._sleep = sleep
        self._forgiving = forgiving

    def drain(self, server: str, deadline: float) -> int:
        """Send nothing new to a server, wait for what is in flight; return the sessions left then."""
        self._set(server, "drain")
        end = self._clock() + deadline
        while (open_sessions := self._sessions(server)) and self._clock() < end:
            self._sleep(POLL)
        return open_sessions

    def rest(self, server: str, deadline: float) -> int:
        """Drain a server and end the sessions that outlast the deadline; return how many.

        It is ready again then: its weight alone says that it gets nothing.
        """
        cut = self.drain(server, deadline)
        if cut:
            self._each(server, lambda router, backend: router.shut_sessions(backend, server))
        self._set(server, "ready")
        return cut

    def admit(self, server: str, deadline: float) -> None:
        """Let a server have traffic again and wait until every router that knows it finds it healthy."""
        self._set(server, "ready")
        end = self._clock() + deadline
        while blind := self._not_up(server):
            if self._clock() >= end:
                raise SlipwayError(
                    f"{server} answers, but {', '.join(blind)} still finds it down after {deadline:.0f} s",
                    "Check the firewall between the hosts and the service's health path",
                )
            self._sleep(POLL)

    def offer(self, server: str) -> None:
        """Let a server have traffic on every router that answers: the others have yet to be started."""
        Routers(self._routers, forgiving=True)._set(server, "ready")

    def orders(self) -> dict[str, Order]:
        """What servers were told; left out where any router was told so. A silent router says nothing."""
        found: dict[str, Order] = {}
        for _router, orders in Routers(self._routers, forgiving=True)._answers(lambda it: it.orders()):
            for name, order in orders.items():
                known = found.get(name, order)
                found[name] = replace(known, left_out=known.left_out or order.left_out)
        return found

    def _answers(self, ask: Callable[[Router], Answer]) -> Iterator[tuple[Router, Answer]]:
        """All are asked side by side: several of a lost host cost one time limit, not the sum."""
        routers = tuple(self._routers)
        with ThreadPoolExecutor(max(len(routers), 1)) as pool:
            asked = [(router, pool.submit(ask, router)) for router in routers]
        for router, answer in asked:
            try:
                yield router, answer.result()
            except SlipwayError:
                if not self._forgiving:
                    raise
                with suppress(ValueError):  # a replica beside this one has found it silent, too
                    self._routers.remove(router)

    def _set(self, server: str, state: str) -> None:
        self._each(server, lambda router, backend: router.set_state(backend, server, state))

    def _each(self, server: str, tell: Callable[[Router, str], None]) -> None:
        """Tell every router that knows the server, in which backend it stands there."""

        def told(router: Router) -> None:
            found = router.servers().get(server)
            if found:
                tell(router, found.backend)

        for _router, _nothing in self._answers(told):
            pass

    def _states(self, server: str) -> list[tuple[str, ServerState]]:
        """The server on every router that knows it, by the router's name."""
        answers = self._answers(lambda it: it.servers())
        found = [(router.address.name, servers.get(server)) for router, servers in answers]
        return [(name, state) for name, state in found if state]

    def _sessions(self, server: str) -> int:
        return sum(state.sessions for _name, state in self._states(server))

    def _not_up(self, server: str) -> list[str]:
        # A weight of 0 is told as DRAIN; what is down stays DOWN.
        up = ("UP", "DRAIN", "no check")
        return [name for name, state in self._states(server) if not state.status.startswith(up)]


def _read_all(channel: ssl.SSLSocket) -> str:
    chunks = []
    while chunk := channel.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks).decode()
