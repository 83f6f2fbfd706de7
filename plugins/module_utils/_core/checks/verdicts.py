"""What an answer means: pure decisions, one per kind of probe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .health import FAIL, OK, WARN, Finding

DAYS = 86400
_PATRONI = "Read `patronictl list` in the PostgreSQL container, and its log"
_LEADS = ("leader", "standby_leader")
_REPLICATES = ("replica", "sync_standby", "quorum_standby")


def http(status: int, body: bytes, expect: Mapping[str, Any]) -> Finding:
    """Statuses are given as `200` or as a class, `2xx`."""
    wanted = [str(item) for item in expect.get("status") or ["2xx"]]
    if not any(str(status) == item or f"{status // 100}xx" == item for item in wanted):
        said = body[:120].decode(errors="replace").strip().splitlines()
        detail = f"status {status}, expected {' or '.join(wanted)}{f': {said[0]}' if said else ''}"
        return Finding(FAIL, detail, "Read the component's log: it answers, but not that it is ready")
    contains = expect.get("contains")
    if contains and str(contains) not in body.decode(errors="replace"):
        return Finding(
            FAIL, f"status {status}, but the answer lacks {contains!r}", "Read the component's log"
        )
    return Finding(OK, f"status {status}")


def grpc(state: str) -> Finding:
    if state == "SERVING":
        return Finding(OK, state)
    return Finding(FAIL, state, "Read the service's log: it has not declared itself SERVING")


def certificate(seconds_left: float, names: Sequence[str], expect: Mapping[str, Any]) -> Finding:
    days = int(seconds_left // DAYS)
    missing = sorted(set(expect.get("names") or ()) - set(names))
    if missing:
        remedy = "Issue a certificate with every name the stack serves"
        return Finding(FAIL, f"certificate lacks {', '.join(missing)}", remedy)
    if days < expect.get("days", 14):
        return Finding(
            WARN, f"certificate ends in {days} days", "Renew it: deploy again, or supply a newer one"
        )
    return Finding(OK, f"certificate valid for {days} days")


def container(facts: Mapping[str, Any] | None, expect: Mapping[str, Any], now: datetime) -> Finding:
    """`facts` is what the engine's inspection says of a container; None when there is no such container."""
    if facts is None:
        return Finding(FAIL, "does not exist", "Deploy this host")
    state = facts["State"]
    restarts = facts.get("RestartCount", 0)
    again = f", {restarts} restarts" if restarts else ""
    read_log = "Read its log with `docker logs`"
    if state["Status"] != "running":
        code = f" with exit status {state['ExitCode']}" if state["Status"] == "exited" else ""
        killed = ", out of memory" if state.get("OOMKilled") else ""
        return Finding(FAIL, f"{state['Status']}{code}{killed}{again}", read_log)
    health = (state.get("Health") or {}).get("Status", "none")
    if health == "none" and "settled" in expect:
        ran = (now - datetime.fromisoformat(state["StartedAt"])).total_seconds()
        health = "healthy" if ran >= expect["settled"] else f"for {ran:.0f} of {expect['settled']:g} s"
    if health not in ("healthy", "none"):
        return Finding(FAIL, f"running, {health}{again}", read_log)
    labels = facts["Config"].get("Labels") or {}
    runs = str(labels.get("io.slipway.digest", ""))
    if expect.get("digest") and runs != expect["digest"]:
        remedy = "Deploy this host: it runs another definition than the stack's"
        return Finding(FAIL, f"digest {runs[:12] or 'missing'}, expected {expect['digest'][:12]}", remedy)
    if restarts > expect.get("restarts", 3):
        return Finding(WARN, f"running{again}", f"{read_log}: it keeps ending")
    word = "healthy" if health == "healthy" else "running"
    return Finding(OK, f"{word}{again}")


def patroni(name: str, cluster: Mapping[str, Any], expect: Mapping[str, Any]) -> Finding:
    """Of the member with a name, as it sees the cluster."""
    members = {str(member["name"]): member for member in cluster.get("members", ())}
    own = members.get(name, {})
    role, state = str(own.get("role", "unknown")), str(own.get("state", "unknown"))
    leaders = [name for name, member in members.items() if member.get("role") in _LEADS]
    if not leaders:
        return Finding(FAIL, f"no member leads; this one is {role}, {state}", _PATRONI)
    if state not in ("running", "streaming"):
        return Finding(FAIL, f"{role}, {state}", _PATRONI)
    wanted = str(expect.get("role", "any"))
    if wanted == "leader" and role not in _LEADS or wanted == "replica" and role not in _REPLICATES:
        return Finding(
            FAIL, f"{role}, expected {wanted}", "Switch over with `patronictl switchover` if that is meant"
        )
    if role in _LEADS:
        replicas = sum(member.get("state") == "streaming" for member in members.values())
        return Finding(OK, f"{role}, {replicas} streaming, timeline {own.get('timeline', '?')}")
    return _replica(f"{role} of {leaders[0]}, {state}", state, own.get("lag"), expect.get("lag"))


def followers(cluster: Mapping[str, Any]) -> set[str]:
    """The members that follow a leader, however far they came; none where nobody leads."""
    by_leading: dict[bool, set[str]] = {True: set(), False: set()}
    for member in cluster.get("members", ()):
        by_leading[member.get("role") in _LEADS].add(str(member["name"]))
    return by_leading[False] if by_leading[True] else set()


def _replica(told: str, state: str, lag: Any, most: float | None) -> Finding:
    if not isinstance(lag, int):
        return Finding(FAIL, f"{told}, lag unknown", _PATRONI)
    told += f", {size(lag)} behind"
    if state != "streaming":
        return Finding(WARN, told, "It catches up from the archive; look again")
    if most is not None and lag > most:
        return Finding(FAIL, f"{told}, at most {size(int(most))}", _PATRONI)
    return Finding(OK, told)


def redis(role: Sequence[Any], expect: Mapping[str, Any]) -> Finding:
    """Of the answer to ROLE."""
    found = {"slave": "replica"}.get(str(role[0]), str(role[0]))
    wanted = str(expect.get("role", "any"))
    if wanted not in ("any", found):
        return Finding(FAIL, f"{found}, expected {wanted}", "Ask Sentinel: `SENTINEL masters`")
    if found == "master":
        return Finding(OK, f"master, {len(role[2])} replicas")
    if found == "sentinel":
        return Finding(
            OK if role[1] else FAIL, f"sentinel of {', '.join(role[1]) or 'nothing'}", "Deploy this host"
        )
    linked = role[3] == "connected"
    detail = f"replica of {role[1]}:{role[2]}, link {role[3]}"
    return Finding(
        OK if linked else FAIL, detail, "Check that the master answers and that the passwords agree"
    )


def room(free: int, total: int, what: str, expect: Mapping[str, Any]) -> Finding:
    """Of bytes on a disk or in memory, judged in per cent."""
    remedy = "Free or add disk space" if what == "disk" else "Lower memory limits, or add memory"
    return _share(free, total, f"free ({size(free)} of {size(total)})", remedy, expect)


def inodes(free: int, total: int, expect: Mapping[str, Any]) -> Finding:
    return _share(free, total, "of inodes free", "Remove files: the disk can hold no more of them", expect)


def _share(free: int, total: int, what: str, remedy: str, expect: Mapping[str, Any]) -> Finding:
    percent = 100 * free / total
    status = FAIL if percent < expect.get("free", 5) else WARN if percent < expect.get("warn", 15) else OK
    return Finding(status, f"{percent:.0f} % {what}", remedy)


def size(count: int) -> str:
    """A number of bytes in the unit that keeps it short."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON object, or the plainest reason why it is none."""
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("the answer is no JSON object")
    return value
