"""What the control node tells a prober: new pools, their probes, the edge hosts; derived from the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..routing.router_address import Address
from ..stack.model_service import Service
from ..stack.topology import PORTS, Topology
from .service_probes import health


def edges(topology: Topology, to_come: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every edge host as `edge_probe.Edge` reads it; `to_come`: those whose edge the release has to start."""
    port = topology.stack.components.edge.https_port
    return [
        {
            "name": host.name,
            "address": host.address,
            "port": port,
            "to_come": host.name in to_come,
            "router": asdict(Address(f"router on {host.name}", host.address, PORTS["router-api"])),
        }
        for host in topology.members("edge")
    ]


def probed(
    topology: Topology,
    moving: Mapping[str, Mapping[str, Any]],
    hosts: Sequence[str] = (),
    *,
    stored: bool = False,
) -> list[dict[str, Any]]:
    """New pools as `edge_probe.Probed` reads them; services that are asked nothing are left out.

    moving: by service the pool `new` and its `replicas` on each of the hosts (none given: all). stored: of a
    release of another day, which today's probes may not fit, only health is asked.
    """
    return [
        _probed(topology, service, moving[name], hosts, stored)
        for name, service in topology.stack.services.items()
        if name in moving and service.probes and moving[name].get("replicas")
    ]


def _probed(
    topology: Topology, service: Service, pools: Mapping[str, Any], hosts: Sequence[str], stored: bool
) -> dict[str, Any]:
    route = service.route
    assert route is not None, "a rule of the stack"
    return {
        "service": service.name,
        "pool": pools["new"],
        "grpc": service.protocol == "grpc",
        "domain": route.domain,
        "public_port": topology.stack.components.edge.public_https_port,
        "route": route.path,
        "servers": [
            replica.server
            for replica in topology.replicas_of(service.name)
            if replica.pool == pools["new"]
            and replica.index <= int(pools["replicas"])
            and (not hosts or replica.host.name in hosts)
        ],
        "probes": [asdict(probe) for probe in (health(service.health_path) if stored else service.probes)],
    }
