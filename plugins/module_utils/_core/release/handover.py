"""What the control node tells a host's modules: values derived from the topology that travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ..checks.health_plan import probes_for
from ..checks.readiness import readiness
from ..gate.gate_plan import prometheus
from ..routing.router_address import Address
from ..stack.components import COMPONENTS
from ..stack.topology import PORTS, HostView, Replica, Topology
from .plan import Unit


def units(view: HostView, images: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every Compose service of a host, in the order in which a phase starts them."""
    own = [
        Unit(
            name=name,
            phase=component.phase,
            folder=f"config/{name}",
            reload=component.reload,
            image=images.get(component.image, ""),
            user=component.uid,
            check=component.check,
            early=component.early,
        )
        for name, component in ((name, COMPONENTS[name]) for name in view.components)
    ]
    own += [
        Unit(
            name=replica.name,
            phase="services",
            folder=f"config/services/{replica.service}-{replica.pool}",
            service=replica.service,
            pool=replica.pool,
        )
        for replica in view.replicas
    ]
    return [asdict(unit) for unit in own]


def routers(topology: Topology) -> list[dict[str, Any]]:
    """The runtime address of every router that may send traffic to a replica."""
    kinds = ("router", "local-router")
    return [
        asdict(Address(f"{kind} on {host.name}", host.address, PORTS[f"{kind}-api"]))
        for kind in kinds
        for host in topology.members(kind)
    ]


def backup_age(topology: Topology, view: HostView) -> int:
    """Hours that the newest backup may be old when a release begins, for the host that knows; else 0."""
    backup = topology.stack.components.backup
    return backup.most_age if backup and view.runs("backup-repository") else 0


def budgets(topology: Topology, view: HostView) -> dict[str, Any] | None:
    """Where a host asks for error budgets: the first with a Prometheus, if any service has one."""
    promised = any(service.slo for service in topology.stack.services.values())
    knows = promised and view.host == topology.members("prometheus")[0]
    return prometheus(topology) if knows else None


def replicas(topology: Topology, view: HostView) -> list[dict[str, Any]]:
    """This host's replicas as `rolling.RollingReplica` reads them, with the service each belongs to."""
    return [_replica(topology, replica) for replica in view.replicas]


def _replica(topology: Topology, replica: Replica) -> dict[str, Any]:
    service = topology.stack.services[replica.service]
    return {
        "name": replica.name,
        "service": replica.service,
        # No router knows a worker.
        "server": "" if service.is_worker else replica.server,
        "drain": service.drain,
        "start_timeout": service.start_timeout,
        "probe": readiness(topology.stack, replica).to_dict(),
    }


def own_routers(view: HostView) -> dict[str, dict[str, Any]]:
    """The runtime addresses of one host's routers, by component."""
    kinds = [kind for kind in ("router", "local-router") if view.runs(kind)]
    name, address = view.host.name, view.host.address
    return {kind: asdict(Address(f"{kind} on {name}", address, PORTS[f"{kind}-api"])) for kind in kinds}


def leaders(topology: Topology) -> dict[str, list[dict[str, Any]]]:
    """Whom to ask whether a component has what leads it: all its members, by component."""
    return {
        component: [
            probe.to_dict()
            for member in topology.members(component)
            for probe in probes_for(topology, topology.views[member.name])
            if probe.kind == component
        ]
        for component in ("postgres", "redis")
    }


def own_leader(topology: Topology, view: HostView, component: str) -> dict[str, Any]:
    """What to ask this host's member to know whether it leads; it passes where it does."""
    (probe,) = (it for it in probes_for(topology, view) if it.kind == component)
    return replace(probe, expect={"role": {"postgres": "leader", "redis": "master"}[component]}).to_dict()


def image_paths(topology: Topology, images: Mapping[str, str]) -> dict[str, str]:
    """Where in the stack each image reference comes from."""
    services = topology.stack.services
    paths = {reference: f"stack/images/{name}" for name, reference in images.items() if name not in services}
    return paths | {
        images[name]: f"stack/services/{name}/{'build' if service.build else 'image'}"
        for name, service in services.items()
        if name in images
    }


def targets(topology: Topology, view: HostView) -> str:
    """What a Prometheus on this host scrapes of each pool of the services that have metrics, as JSON."""
    if not view.runs("prometheus"):
        return "{}"
    found: dict[str, dict[str, list[Any]]] = {}
    for service in topology.stack.services.values():
        if not service.metrics_path or service.protocol == "grpc":
            continue
        for replica in topology.replicas_of(service.name):
            group = {
                "targets": [f"{replica.host.address}:{replica.port}"],
                "labels": {
                    "host": replica.host.name,
                    "component": "service",
                    "service": service.name,
                    "pool": replica.pool,
                    "replica": replica.name,
                },
            }
            found.setdefault(service.name, {}).setdefault(replica.pool, []).append(group)
    return json.dumps(found)
