"""Restarts that parameters wait for: replicas first, then the leader, after another has taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..docker import commands
from ..errors import SlipwayError
from .leadership import STREAMS, Cluster, switchover, whole
from .patroni_cluster import PatroniCluster, patience

RESTART, HAND_OVER = "restart", "hand over"


@dataclass(frozen=True)
class Step:
    """`what` is done to a member; one that hands over does so to the best candidate of that moment."""

    what: str
    member: str

    def __str__(self) -> str:
        return f"{self.member}: {'hands over' if self.what == HAND_OVER else 'restarts, as parameters wait'}"


def plan(cluster: Cluster, most_lag: int, *, forced: bool) -> list[Step]:
    """Which members restart in which order; nothing where no parameter waits.

    The leader's turn needs another that can take over. A cluster without is refused unless `forced`: then the
    leader restarts where it is, which interrupts writes.
    """
    waiting = [it for it in cluster.followers if it.pending_restart]
    for it in waiting:
        if it.state != STREAMS:
            raise SlipwayError(
                f"{it.name} is {it.state or 'in no known state'}, so it is not known to come back",
                "Bring it back first: docs/runbooks/postgres.md",
            )
    steps = [Step(RESTART, it.name) for it in waiting]
    leader = next((it for it in cluster.members if it.leads), None)
    if not leader or not leader.pending_restart:
        return steps
    if not forced:
        # Refuses with all reasons where nobody can take over.
        switchover(cluster, "", most_lag)
        steps.append(Step(HAND_OVER, leader.name))
    return [*steps, Step(RESTART, leader.name)]


def carry_out(cluster: PatroniCluster, steps: Sequence[Step], seconds: float, most_lag: int) -> list[str]:
    """One member after the other, each whole again before the next; `seconds` for each step."""
    told = []
    for step in steps:
        if step.what == HAND_OVER:
            move = switchover(cluster.view(), "", most_lag)
            if move:
                told += cluster.move(move, patience(seconds), most_lag, planned=True)
            continue
        told += _restart(cluster, step.member, seconds, most_lag)
    return told + _in_place(cluster, seconds, most_lag) if told else told


def _restart(cluster: PatroniCluster, name: str, seconds: float, most_lag: int) -> list[str]:
    before = cluster.view()
    leader, member = before.leader, before.named(name)
    if member and not member.pending_restart:
        # Handing over has restarted it.
        return []
    followers = [] if leader and leader.name == name else [name]
    cluster.tell(commands.restart_member(cluster.stack, name))
    leads = leader.name if leader else name
    cluster.until(lambda now: whole(now, leads, followers, most_lag), patience(seconds))
    return [f"{name}: restarted"]


def _in_place(cluster: PatroniCluster, seconds: float, most_lag: int) -> list[str]:
    """Restart a leader that still waits, where it is.

    A standby keeps the old, higher value of settings such as max_connections until its primary has the lower
    one: after a decrease whoever was promoted waits still, and a further switchover would never end it.
    """
    leader = cluster.view().leader
    if not leader or not leader.pending_restart:
        return []
    _restart(cluster, leader.name, seconds, most_lag)
    return [f"{leader.name}: restarted as leader; writes waited meanwhile"]
