"""The question that tells whether one replica is ready."""

from __future__ import annotations

from ..stack.model import Stack
from ..stack.topology import Replica
from .health import Probe


def readiness(stack: Stack, replica: Replica) -> Probe:
    """Asked at the replica's published port, as the routers ask it; a worker is looked at from outside."""
    service = stack.services[replica.service]
    address, name = replica.host.address, f"{replica.name} ready"
    place = {"host": address, "port": replica.port}
    if service.is_worker:
        settled = {} if service.health_command else {"settled": service.settle}
        return Probe(
            name, service.name, "container", {"container": f"{stack.name}-{replica.name}-1"}, settled
        )
    if service.health_path is None:
        return Probe(name, service.name, "tcp", place)
    if service.protocol == "grpc":
        return Probe(name, service.name, "grpc", {**place, "service": service.health_path})
    return Probe(name, service.name, "http", {"url": f"http://{address}:{replica.port}{service.health_path}"})
