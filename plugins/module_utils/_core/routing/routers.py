"""All routers together: a replica is in or out of the traffic only when every one of them says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from ..errors import SlipwayError
from .router import Router
from .router_address import Address
from .router_state import Order, ServerState

POLL = 0.1

Answer = TypeVar("Answer")


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

    def table_for(self, own: Address) -> str:
        """What another router says of its servers, one of the same kind first; empty where none answers.

        Backends and servers have the same names everywhere.
        """
        others = Routers([router for router in self._routers if router.address != own], forgiving=True)
        answers = sorted(
            others._answers(lambda it: it.table()), key=lambda told: told[0].address.port != own.port
        )
        return next((table for _router, table in answers), "")

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
