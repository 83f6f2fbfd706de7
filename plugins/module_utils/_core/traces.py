"""The ways of single requests: what services are told of where to send theirs."""

from __future__ import annotations

from collections.abc import Mapping

from .model import Host
from .model_service import Service
from .topology import Replica

# By the name of a network alias: each host's own collector, which takes OTLP over HTTP.
ENDPOINT = "http://collector:4318"
# An SDK's own 5 s are as long as a trace is held (`wait`): most of it would come when it has been judged.
SEND_EVERY_MS = 2000


def told_by(service: Service, host: Host, image: str, replica: Replica | None) -> Mapping[str, str]:
    """Variables that OpenTelemetry's SDKs read. What a service sets itself stays as it is."""
    resource = {
        # Its image, not its release's id: that is in no definition, or each release would replace everything.
        "service.version": image.rpartition(":")[2][:12],
        "host.name": host.name,
        **({"slipway.pool": replica.pool, "service.instance.id": replica.name} if replica else {}),
    }
    told = {
        "OTEL_BSP_SCHEDULE_DELAY": str(SEND_EVERY_MS),
        "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": service.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
    }
    return {key: value for key, value in told.items() if key not in service.environment}
