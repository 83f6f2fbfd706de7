"""A host out of service, to be patched: whether that may be, and the note on every host that it is so.

One host at a time. While one is out, nothing else may change the environment: a deployment moves the whole
fleet together, so it would put the host's replicas back, or leave it behind with another release.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError, Problem, SlipwayError
from ..stack.topology import HostView, Topology
from ..tree import File, write_file
from ..wording import did_you_mean, listed

# Below the stack's root.
STATE = "state/maintenance.json"
# The backend of local-routers from which applications read.
READS = "postgres-replicas"
# Seconds that a role which was handed over may take to settle.
SETTLED = 90.0


@dataclass(frozen=True)
class Out:
    """The host that is out of service, since when (ISO 8601, UTC) and by whose hand."""

    host: str
    since: str
    by: str


def read(root: Path) -> Out | None:
    path = root / STATE
    return Out(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def note(root: Path, out: Out) -> bool:
    """Remember that a host is out; True when that was not known yet."""
    found = read(root)
    if found and found.host != out.host:
        raise _out_already(found)
    if found:
        return False
    write_file(root / STATE, File(STATE, json.dumps(asdict(out), indent=1) + "\n", 0o644, os.geteuid()))
    return True


def forget(root: Path) -> bool:
    known = (root / STATE).exists()
    (root / STATE).unlink(missing_ok=True)
    return known


def refuse_while_out(root: Path) -> None:
    """Whatever changes the environment asks here first."""
    found = read(root)
    if found:
        raise _out_already(found)


def require_possible(topology: Topology, host: str) -> None:
    """Refuse, with every reason at once, what the others could not carry."""
    if host not in topology.views:
        known = list(topology.views)
        raise InvalidInputError(
            [
                Problem(
                    "host",
                    f"{host} is no host of this environment",
                    f"{did_you_mean(host, known)}Known are {listed(known)}",
                )
            ]
        )
    if reasons := obstacles(topology, topology.views[host]):
        raise InvalidInputError([Problem(host, reason, remedy) for reason, remedy in reasons])


def obstacles(topology: Topology, view: HostView) -> list[tuple[str, str]]:
    """Why a host cannot go out of service, and what would let it; nothing where the others carry it all."""
    name = view.host.name
    if len(topology.views) == 1:
        return [("is the only host", "Add another host to the environment, or plan an interruption")]
    found = [
        (f"alone runs the service {service.name}", f"Place {service.name} on another host, too, and deploy")
        for service in topology.stack.services.values()
        if service.hosts == (name,)
    ]
    alone = {
        "edge": "the last edge",
        "postgres": "the only PostgreSQL member",
        "redis": "the only Redis member",
    }
    found += [
        (f"is {what}", f"Add a host to `stack.components.{component}.hosts`, and deploy")
        for component, what in alone.items()
        if view.runs(component) and len(topology.members(component)) == 1
    ]
    voters = len(topology.members("etcd"))
    if view.runs("etcd") and voters - 1 < voters // 2 + 1:
        found.append(
            (
                f"is one of {voters} etcd members: the {voters - 1} without it would be no majority, "
                "and PostgreSQL would stop",
                "Have three members (docs/runbooks/etcd.md), or plan an interruption",
            )
        )
    return found


def candidate(name: str, cluster: Mapping[str, Any]) -> str:
    """Who takes the leadership over from the member `name`, as Patroni's view of the cluster has them."""

    def rank(member: Mapping[str, Any]) -> tuple[bool, int]:
        lag = member.get("lag")
        return "standby" not in str(member.get("role")), lag if isinstance(lag, int) else 1 << 62

    streaming = [
        member
        for member in cluster.get("members", ())
        if member["name"] != name and member.get("state") == "streaming"
    ]
    if not streaming:
        raise SlipwayError(
            f"{name} leads PostgreSQL, and no other member could: none of them is streaming",
            "Bring a replica back first: docs/runbooks/postgres.md",
        )
    return str(min(streaming, key=rank)["name"])


def orders_out(places: Sequence[tuple[str, str]], host: str) -> list[tuple[str, str, str]]:
    """What a router is told so that nothing new reaches a host: backend, server, state.

    Replicas are drained. Reads of its database are moved at once: a connection there may last for days. Its
    places among primaries and masters stay: it may have to lead again, should another host be lost meanwhile.
    """
    drained = [(backend, server, "drain") for backend, server in places if server.endswith(f".{host}")]
    return drained + [
        (backend, server, "maint") for backend, server in places if (backend, server) == (READS, host)
    ]


def orders_in(places: Sequence[tuple[str, str]], host: str) -> list[tuple[str, str, str]]:
    return [(backend, server, "ready") for backend, server, _state in orders_out(places, host)]


def _out_already(found: Out) -> SlipwayError:
    return SlipwayError(
        f"{found.host} is out of service (since {found.since}, by {found.by}); meanwhile nothing may change",
        f"Bring it back first: playbooks/maintenance.yml -e host={found.host} -e state=in; "
        f"if it is gone for good, delete {STATE} below the stack's folder on every host",
    )
