"""The ways of single requests: which wishes cannot work, and what services and exporters are told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from .alert_faults import secret_faults
from .errors import Problem, SlipwayError
from .model import Host, Stack
from .model_service import Service
from .topology import Replica

PATH = "stack/components/logs/traces/exports"
# By the name of a network alias: each host's own collector, which takes OTLP over HTTP.
ENDPOINT = "http://collector:4318"
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([ -~]+?)[ \t]*")


def trace_faults(stack: Stack) -> Iterator[Problem]:
    logs = stack.components.logs
    if logs is None or logs.traces is None:
        return
    for name, export in logs.traces.exports.items():
        path = f"{PATH}/{name}"
        if export.headers_secret is None:
            continue
        yield from secret_faults({"headers_secret": export.headers_secret}, path, stack)
        if urlsplit(export.url).scheme == "http":
            remedy = "Write https, or leave headers_secret out"
            yield Problem(f"{path}/url", "would show the secret to everybody on the way", remedy)


def export_headers(name: str, text: str) -> dict[str, str]:
    """The headers that a secret holds, one a line; of a line that is none, its number alone is told."""
    headers = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            raise SlipwayError(
                f"stack/secrets/{name} is no list of headers: line {number} is not `Name: value`",
                "Write one header a line, for example `Authorization: Bearer …`",
            )
        headers[match[1]] = match[2]
    return headers


def told_by(service: Service, host: Host, image: str, replica: Replica | None) -> Mapping[str, str]:
    """Variables that OpenTelemetry's SDKs read. What a service sets itself stays as it is."""
    resource = {
        # Its image, not its release's id: that is in no definition, or each release would replace everything.
        "service.version": image.rpartition(":")[2][:12],
        "host.name": host.name,
        **({"slipway.pool": replica.pool, "service.instance.id": replica.name} if replica else {}),
    }
    told = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": service.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
    }
    return {key: value for key, value in told.items() if key not in service.environment}
