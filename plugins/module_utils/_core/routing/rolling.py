"""Replace or restart replicas one at a time, each out of the traffic while it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

from ..errors import SlipwayError
from .routers import Routers


@dataclass(frozen=True)
class RollingReplica:
    """One container of a service: its Compose and HAProxy names, seconds to drain and to get ready.

    server: "" for a worker, which no router knows.
    """

    name: str
    service: str
    server: str
    drain: int
    start_timeout: int
    probe: Mapping[str, Any]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RollingReplica:
        return cls(
            str(values["name"]),
            str(values["service"]),
            str(values["server"]),
            int(values["drain"]),
            int(values["start_timeout"]),
            dict(values["probe"]),
        )


@dataclass(frozen=True)
class Turn:
    """What one replica's turn came to; `cut` counts sessions still open at the drain deadline."""

    replica: str
    cut: int

    def __str__(self) -> str:
        return (
            f"{self.replica}: {self.cut} sessions cut at the drain deadline"
            if self.cut
            else f"{self.replica}: drained"
        )


def roll(
    replicas: Sequence[RollingReplica],
    routers: Routers,
    renew: Callable[[RollingReplica], None],
    wait_ready: Callable[[RollingReplica], None],
) -> list[Turn]:
    """Renew replicas, one of each service at a time, services side by side.

    Each replica's turn: out of the routers, drained, renewed, ready, back in. After the first that does not
    come back no further turn begins: that one is kept out of the traffic, and the untouched ones serve.
    """
    services: dict[str, list[RollingReplica]] = {}
    for replica in replicas:
        services.setdefault(replica.service, []).append(replica)
    halted = Event()

    def take_turns(group: Sequence[RollingReplica]) -> list[Turn]:
        return [
            _turn(replica, routers, renew, wait_ready, halted) for replica in group if not halted.is_set()
        ]

    with ThreadPoolExecutor(max(len(services), 1)) as pool:
        turns = list(pool.map(take_turns, services.values()))
    return [turn for group in turns for turn in group]


def _turn(
    replica: RollingReplica,
    routers: Routers,
    renew: Callable[[RollingReplica], None],
    wait_ready: Callable[[RollingReplica], None],
    halted: Event,
) -> Turn:
    try:
        cut = routers.drain(replica.server, replica.drain) if replica.server else 0
        renew(replica)
        wait_ready(replica)
        if replica.server:
            routers.admit(replica.server, replica.start_timeout)
    except SlipwayError as error:
        halted.set()
        raise SlipwayError(
            f"{replica.name} did not come back and is kept out of the traffic: {error.problem}; "
            "replicas that had no turn yet run unchanged",
            error.remedy,
        ) from error
    return Turn(replica.name, cut)
