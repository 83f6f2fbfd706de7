"""The question that tells whether one replica is ready for traffic."""

from __future__ import annotations

from .health import Probe
from .model import Service
from .topology import Replica


def readiness(service: Service, replica: Replica) -> Probe:
    """Asked at the replica's published port, as the routers ask it."""
    address, port = replica.host.address, replica.port
    if service.protocol == "grpc":
        target: dict[str, object] = {"host": address, "port": port, "service": service.health_path or ""}
        return Probe(replica.name, service.name, "grpc", target)
    return Probe(replica.name, service.name, "http", {"url": f"http://{address}:{port}{service.health_path}"})
