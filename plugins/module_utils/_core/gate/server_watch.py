"""Whether the replicas of a new pool stay up, as the routers that send them traffic see it."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from ..errors import SlipwayError
from ..routing.router import Router

# Seconds a router may be silent: it is back from a reload long before.
PATIENCE = 3.0
# One fall is an accident, the second is a loop.
FALLS = 1
# Looks in a row: a replica that pauses for a moment is asked again half a second later.
LOOKS_DOWN = 2


@dataclass(frozen=True)
class Alarm:
    """A reason to end a gate at once. `service`: "" where it concerns all."""

    service: str
    gate: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class Health:
    """One server on one router: "UP", "DOWN", …; how often it went down so far; what the last check found."""

    status: str
    falls: int
    check: str

    @property
    def down(self) -> bool:
        return self.status.startswith("DOWN")


def parse_health(statistics: str) -> dict[str, Health]:
    """Health of servers by name from the answer to `show stat`."""
    rows = csv.DictReader(io.StringIO(statistics.lstrip("# ")))
    return {
        row["svname"]: Health(
            row["status"],
            int(row.get("chkdown") or 0),
            " ".join(filter(None, (row.get("check_status"), row.get("last_chk")))) or "no check yet",
        )
        for row in rows
        if row.get("type") == "2"
    }


class Observer(Protocol):
    """A router as it is watched here."""

    @property
    def name(self) -> str: ...

    def health(self) -> Mapping[str, Health]:
        """Every server's health; SlipwayError when the router does not answer."""


class WatchedRouter(Router):
    """One HAProxy, asked for the health of its servers."""

    @property
    def name(self) -> str:
        return self.address.name

    def health(self) -> Mapping[str, Health]:
        return parse_health(self._command("show stat -1 4 -1"))


class ServerWatch:
    """Looks at the servers of new pools; `look` is called again and again.

    A restarted router begins to count falls anew: what it has told before is kept.
    """

    def __init__(
        self,
        routers: Sequence[Observer],
        servers: Mapping[str, Sequence[str]],
        expected: AbstractSet[str] = frozenset(),
        *,
        looks_down: int = LOOKS_DOWN,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`servers`: HAProxy's names by service, of which those that run may be some.

        expected: those that must be up from the first look; others must stay up once they were.
        looks_down: looks in a row before down is an alarm. patience: seconds a router may be silent.
        """
        self._routers = routers
        self._servers = servers
        self._running = set(expected)
        self._looks_down = looks_down
        self._patience = patience
        self._clock = clock
        self._told: dict[str, float] = dict.fromkeys((router.name for router in routers), clock())
        self._counted: dict[tuple[str, str], int] = {}
        self._falls: dict[tuple[str, str], int] = {}
        self._down: dict[str, int] = {}

    def look(self) -> list[Alarm]:
        if not self._routers:
            return []
        with ThreadPoolExecutor(len(self._routers)) as pool:
            answers = dict(
                zip((router.name for router in self._routers), pool.map(_ask, self._routers), strict=True)
            )
        alarms = self._silent(answers)
        seen = {name: health for name, health in answers.items() if not isinstance(health, SlipwayError)}
        if len(seen) < len(answers):
            return alarms  # the silent one may be the one that finds them up
        for service, servers in self._servers.items():
            found = {
                server: {name: health[server] for name, health in seen.items() if server in health}
                for server in servers
            }
            alarms += [alarm for server in servers for alarm in self._judge(service, server, found[server])]
            if servers and not self._running.intersection(servers):
                alarms.append(_none_up(service, servers))
        return alarms

    def _silent(self, answers: Mapping[str, Mapping[str, Health] | SlipwayError]) -> list[Alarm]:
        now, alarms = self._clock(), []
        for name, answer in answers.items():
            if not isinstance(answer, SlipwayError):
                self._told[name] = now
            elif now - self._told[name] >= self._patience:
                alarms.append(Alarm("", "routers", answer.problem, answer.remedy))
        return alarms

    def _judge(self, service: str, server: str, found: Mapping[str, Health]) -> list[Alarm]:
        for name, health in found.items():
            self._count(name, server, health.falls)
        if not all(health.down for health in found.values()):
            self._running.add(server)
            self._down[server] = 0
        if server not in self._running:
            return []
        if not found:
            remedy = "Deploy again, so that every router knows it"
            return [Alarm(service, "servers", f"no router knows {server}", remedy)]
        if all(health.down for health in found.values()):
            self._down[server] = self._down.get(server, 0) + 1
        if self._down[server] >= self._looks_down:
            name, health = next(iter(found.items()))
            said = f"{server} is down on every router ({name}: {health.check})"
            return [Alarm(service, "servers", said, _logs(server))]
        most, name = max((self._falls[name, server], name) for name in found)
        if most > FALLS:
            said = f"{server} went down {most} times since the gate began ({name}): it crashes or hangs"
            return [Alarm(service, "servers", said, _logs(server))]
        return []

    def _count(self, router: str, server: str, told: int) -> None:
        key = (router, server)
        before = self._counted.get(key, told)
        fallen = told - before if told >= before else told
        self._falls[key] = self._falls.get(key, 0) + fallen
        self._counted[key] = told


def _ask(router: Observer) -> Mapping[str, Health] | SlipwayError:
    try:
        return router.health()
    except SlipwayError as error:
        return error


def _none_up(service: str, servers: Sequence[str]) -> Alarm:
    said = f"not one of {', '.join(servers)} is up on any router"
    return Alarm(service, "servers", said, _logs(servers[0]))


def _logs(server: str) -> str:
    name, _, host = server.partition(".")
    return f"Read its logs: `docker logs` of {name} on {host}"
