"""What the control node tells the gate of each service: derived from the stack, travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..errors import InvalidInputError, Problem
from ..pool_names import POOLS
from ..stack.model_service import Service
from ..stack.topology import PORTS, Topology
from ..wording import did_you_mean, listed
from .gatekeeping import only_queries


def watched(
    topology: Topology, moving: Mapping[str, Mapping[str, Any]], hosts: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Every service at the gate as `gatekeeping.Watched` reads it; InvalidInputError for unknown names.

    moving: by service, the pools `new` and `old` (optional), and `replicas` (optional): how many of the new
    pool run on each of the hosts (none given: all). The others have yet to have their turn. `again`: it was
    judged before, and only what is bad counts.
    """
    services = topology.stack.services
    problems = [problem for name, pools in moving.items() for problem in _problems(name, pools, services)]
    if problems:
        raise InvalidInputError(problems)
    return {name: _watched(topology, services[name], pools, hosts) for name, pools in moving.items()}


def prometheus(topology: Topology) -> dict[str, Any] | None:
    """Where the Prometheus that is asked listens; None where the stack has none."""
    members = topology.members("prometheus")
    return {"host": members[0].address, "port": PORTS["prometheus"]} if members else None


def _watched(
    topology: Topology, service: Service, pools: Mapping[str, Any], hosts: Sequence[str]
) -> dict[str, Any]:
    # Routers see nothing of a worker: its hosts look after it.
    there = [] if service.is_worker else topology.replicas_of(service.name)
    own = [replica for replica in there if replica.pool == pools["new"]]
    running = [replica for replica in own if not hosts or replica.host.name in hosts]
    count = pools.get("replicas")
    # A pause before anything new is there: it only takes its time.
    nothing = count is not None and int(count) == 0
    return {
        "service": service.name,
        "new": pools["new"],
        "old": pools.get("old"),
        # The edge sees nothing of a service without a route.
        "gates": asdict(service.gates if service.route else only_queries(service.gates)),
        "servers": [] if nothing else [replica.server for replica in own],
        "expected": [it.server for it in running if count is not None and it.index <= int(count)],
        "inconclusive": "proceed" if nothing or pools.get("again") else service.strategy.inconclusive,
    }


def _problems(name: str, pools: Mapping[str, Any], services: Mapping[str, Service]) -> list[Problem]:
    if name not in services:
        remedy = f"{did_you_mean(name, services)}The stack has {listed(services)}"
        return [Problem(f"services/{name}", "no such service", remedy)]
    return [
        Problem(f"services/{name}/{side}", f"is {pools.get(side)}", f"Use one of {listed(POOLS)}")
        for side in ("new", "old")
        if pools.get(side) not in POOLS and (side == "new" or pools.get(side) is not None)
    ]
