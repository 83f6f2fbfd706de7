"""The question that tells whether one replica is ready for traffic."""

from __future__ import annotations

from .health import Probe
from .model import Service
from .topology import Replica


def readiness(service: Service, replica: Replica) -> Probe:
    """Asked at the replica's published port, as the routers ask it."""
    address, name = replica.host.address, f"{replica.name} ready"
    place = {"host": address, "port": replica.port}
    if service.health_path is None:
        return Probe(name, service.name, "tcp", place)
    if service.protocol == "grpc":
        return Probe(name, service.name, "grpc", {**place, "service": service.health_path})
    return Probe(name, service.name, "http", {"url": f"http://{address}:{replica.port}{service.health_path}"})
