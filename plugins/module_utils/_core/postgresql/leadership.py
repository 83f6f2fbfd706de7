"""Who leads PostgreSQL, who may, and what stands against it: decisions on Patroni's view of the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInputError, Problem
from ..wording import did_you_mean, listed

_LEADS = ("leader", "standby_leader")
_SYNCHRONOUS = ("sync_standby", "quorum_standby")
# Patroni's states of a member that could take over; without a leader to stream from, a replica is `running`.
_ABLE = ("streaming", "running", "in archive recovery")
STREAMS = "streaming"

Reason = tuple[str, str]


@dataclass(frozen=True)
class Member:
    """`lag`: bytes that it has not received or replayed; None: unknown. `barred`: tagged `nofailover`."""

    name: str
    role: str
    state: str
    lag: int | None
    timeline: int | None
    pending_restart: bool
    barred: bool

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Member:
        lag, timeline, tags = told.get("lag"), told.get("timeline"), told.get("tags") or {}
        return cls(
            name=str(told["name"]),
            role=str(told.get("role", "")),
            state=str(told.get("state", "")),
            lag=lag if isinstance(lag, int) else None,
            timeline=timeline if isinstance(timeline, int) else None,
            pending_restart=bool(told.get("pending_restart")),
            barred=bool(tags.get("nofailover")) or tags.get("failover_priority") == 0,
        )

    @property
    def leads(self) -> bool:
        return self.role in _LEADS

    @property
    def synchronous(self) -> bool:
        return self.role in _SYNCHRONOUS


@dataclass(frozen=True)
class Cluster:
    members: tuple[Member, ...]
    paused: bool
    synchronous: bool

    @classmethod
    def parse(cls, view: Mapping[str, Any], settings: Mapping[str, Any]) -> Cluster:
        """From Patroni's `/cluster` and `/config`; of those that are down it soon knows nothing any more."""
        members = tuple(Member.parse(told) for told in view.get("members", ()))
        mode = settings.get("synchronous_mode")
        return cls(members, bool(view.get("pause")), mode not in (None, False, "off", "false"))

    @property
    def leader(self) -> Member | None:
        """The member that leads and runs; one that has the leader's key and is down does not lead."""
        return next((it for it in self.members if it.leads and it.state in ("running", STREAMS)), None)

    def named(self, name: str) -> Member | None:
        return next((it for it in self.members if it.name == name), None)

    @property
    def followers(self) -> list[Member]:
        return [it for it in self.members if not it.leads]


@dataclass(frozen=True)
class Move:
    """Leadership from one member to another; `leader` is "" where nobody leads."""

    leader: str
    to: str

    def __str__(self) -> str:
        return f"{self.to} leads PostgreSQL, {self.leader or 'nobody'} before"


def switchover(cluster: Cluster, to: str, most_lag: int) -> Move | None:
    """The planned move of the leadership to a member, or ("") to the best one; None where it leads already.

    Raises with every reason at once. It loses nothing: Patroni stops the old leader cleanly first.
    """
    leader = cluster.leader
    if leader and leader.name == to:
        return None
    reasons = _unknown(cluster, to)
    if not leader:
        remedy = "Wait half a minute for Patroni to elect one; if it does not: playbooks/failover.yml"
        reasons.append(("there is no leader that could hand over", remedy))
    reasons += _paused(cluster)
    chosen = to or _best(cluster)
    reasons += _unfit(cluster, chosen, most_lag, able=(STREAMS,)) if not reasons else []
    _refuse(reasons)
    return Move(leader.name if leader else "", chosen)


def failover(cluster: Cluster, to: str, most_lag: int, *, forced: bool) -> Move | None:
    """The move to a member without the old leader's help; None where it leads already.

    It can lose what only the old leader has: who is not fit for it is refused unless `forced`. Forced or not,
    the member must be known and able to lead.
    """
    leader = cluster.leader
    if leader and leader.name == to:
        return None
    reasons = _unknown(cluster, to)
    chosen = to or _best(cluster)
    if not forced and not reasons:
        if leader:
            remedy = "Use playbooks/switchover.yml, which loses nothing; if it must be: add -e force=<stack>"
            reasons.append((f"{leader.name} leads and is well", remedy))
        reasons += _paused(cluster) + _unfit(cluster, chosen, most_lag, able=_ABLE)
    elif not reasons:
        reasons += _unable(cluster, chosen, _ABLE)
    _refuse(reasons)
    return Move(leader.name if leader else "", chosen)


def reclone(cluster: Cluster, name: str, *, forced: bool) -> None:
    """Refuse to delete a member's data and copy the leader's where that is not safe."""
    reasons = _unknown(cluster, name)
    member, leader = cluster.named(name), cluster.leader
    if not leader:
        remedy = "Bring a leader back first: docs/runbooks/postgres.md"
        reasons.append(("there is no leader to copy from", remedy))
    if member and member.leads:
        reasons.append(
            (f"{name} leads: its data are the ones that count", "Switch over first, if it is meant")
        )
    reasons += _paused(cluster)
    well = [it.name for it in cluster.followers if it.state == STREAMS]
    if well == [name] and not forced:
        remedy = "Wait for another replica, or accept it: add -e force=<stack>"
        reasons.append((f"{name} streams and holds the only second copy", remedy))
    _refuse(reasons)


def whole(cluster: Cluster, leader: str, followers: list[str], most_lag: int) -> str:
    """What is still missing until a member leads and those named follow it; "" where nothing is."""
    found = cluster.leader
    if not found or found.name != leader:
        return f"{leader} does not lead yet" if not found else f"{found.name} leads, not {leader}"
    for name in followers:
        member = cluster.named(name)
        if not member or member.state != STREAMS:
            return f"{name} is {member.state if member else 'not there'}, not streaming"
        if member.timeline != found.timeline:
            return f"{name} is on timeline {member.timeline}, the leader on {found.timeline}"
        if member.lag is None or member.lag > most_lag:
            return f"{name} lags by {member.lag if member.lag is not None else 'unknown'} bytes"
    return ""


def _best(cluster: Cluster) -> str:
    """Synchronous ones first, then those with the least lag; "" where nobody could lead."""

    def rank(member: Member) -> tuple[bool, bool, int, str]:
        lag = member.lag if member.lag is not None else 1 << 62
        return not member.synchronous, member.state != STREAMS, lag, member.name

    able = [it for it in cluster.followers if it.state in _ABLE and not it.barred]
    return min(able, key=rank).name if able else ""


def _unknown(cluster: Cluster, name: str) -> list[Reason]:
    known = [it.name for it in cluster.members]
    if not name or name in known:
        return []
    return [(f"Patroni knows no member {name}", f"{did_you_mean(name, known)}Known are {listed(known)}")]


def _paused(cluster: Cluster) -> list[Reason]:
    if not cluster.paused:
        return []
    remedy = (
        "Somebody works on it by hand. When they have finished: `patronictl resume` in a member's container"
    )
    return [("Patroni is paused", remedy)]


def _unfit(cluster: Cluster, name: str, most_lag: int, *, able: tuple[str, ...]) -> list[Reason]:
    """Why a member may not take over without losing anything."""
    if reasons := _unable(cluster, name, able):
        return reasons
    member = cluster.named(name)
    assert member
    if cluster.synchronous and not member.synchronous:
        sure = listed(it.name for it in cluster.followers if it.synchronous)
        reasons.append(
            (f"{name} is not synchronous: it may lack acknowledged writes", f"Synchronous are: {sure}")
        )
    # Without a leader, the lag is that to the last position which it has told.
    if member.lag is None or member.lag > most_lag:
        lag = "unknown" if member.lag is None else f"{member.lag} bytes"
        remedy = (
            f"At most {most_lag} are allowed (max_replica_lag); wait, or look why: docs/runbooks/postgres.md"
        )
        reasons.append((f"the lag of {name} is {lag}", remedy))
    return reasons


def _unable(cluster: Cluster, name: str, able: tuple[str, ...]) -> list[Reason]:
    member = cluster.named(name)
    if not member:
        return [("no other member could lead", "Bring a replica back first: docs/runbooks/postgres.md")]
    if member.state not in able:
        remedy = "Name another, or bring it back first: docs/runbooks/postgres.md"
        return [(f"{name} is {member.state or 'in no known state'}, not {' or '.join(able)}", remedy)]
    if member.barred:
        return [(f"{name} is tagged never to lead", "Name another, or remove its tag nofailover")]
    return []


def _refuse(reasons: list[Reason]) -> None:
    if reasons:
        raise InvalidInputError([Problem("PostgreSQL", reason, remedy) for reason, remedy in reasons])
