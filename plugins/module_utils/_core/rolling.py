"""Replace or restart replicas one at a time, each out of the traffic while it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import SlipwayError
from .router import Routers


@dataclass(frozen=True)
class RollingReplica:
    """One container of a service: its Compose and HAProxy names, seconds to drain and to get ready."""

    name: str
    server: str
    drain: int
    start_timeout: int
    probe: Mapping[str, Any]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RollingReplica:
        return cls(
            str(values["name"]),
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
    """Give each replica its turn: out of the routers, drained, renewed, ready, back in.

    Stops at the first that does not come back, with that one out of the traffic and all others serving.
    """
    turns: list[Turn] = []
    for replica in replicas:
        cut = routers.drain(replica.server, replica.drain)
        try:
            renew(replica)
            wait_ready(replica)
        except SlipwayError as error:
            untouched = len(replicas) - len(turns) - 1
            raise SlipwayError(
                f"{replica.name} did not come back and is kept out of the traffic: {error.problem}; "
                f"{len(turns)} replicas were renewed before it, {untouched} on this host still run unchanged",
                error.remedy,
            ) from error
        routers.admit(replica.server, replica.start_timeout)
        turns.append(Turn(replica.name, cut))
    return turns
