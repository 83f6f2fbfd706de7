"""The ways of single requests: what services are told of where to send theirs."""

from __future__ import annotations

from collections.abc import Mapping

from ..stack.model import Host
from ..stack.model_components import Traces
from ..stack.model_service import Service
from ..stack.topology import Replica

# By the name of a network alias: each host's own collector, which takes OTLP over HTTP.
ENDPOINT = "http://collector:4318"
# At most; an SDK's own 5 s are as long as a trace is held: most of it would come when that has been judged.
_SEND_EVERY = 2000


def told_by(
    traces: Traces, service: Service, host: Host, image: str, replica: Replica | None
) -> Mapping[str, str]:
    """Variables that OpenTelemetry's SDKs read. What a service sets itself stays as it is."""
    resource = {
        # Its image, not its release's id: that is in no definition, or each release would replace everything.
        "service.version": image.rpartition(":")[2][:12],
        "host.name": host.name,
        **({"slipway.pool": replica.pool, "service.instance.id": replica.name} if replica else {}),
    }
    told = {
        "OTEL_BSP_SCHEDULE_DELAY": str(min(_SEND_EVERY, traces.wait // 2)),
        "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": service.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
    }
    return {key: value for key, value in told.items() if key not in service.environment}
