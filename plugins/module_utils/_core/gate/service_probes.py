"""What a service's new replicas are asked through the edge, and which users are kept on one version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem
from ..stack.model import Stack
from ..stack.model_rollout import ServiceProbe
from ..stack.model_service import Service

# Milliseconds for an answer to a question that the user has not written.
USUAL = 2000


def probes_from(given: Mapping[str, Any]) -> tuple[ServiceProbe, ...]:
    """From a service's table as `schema_service.SERVICE` reads it."""
    if given["probes"] is not None:
        return tuple(ServiceProbe(**probe) for probe in given["probes"])
    return health(given["health_path"]) if given["route"] else ()


def health(path: str | None) -> tuple[ServiceProbe, ...]:
    """The question that every service can be asked."""
    return () if path is None else (ServiceProbe(path, None, None, USUAL),)


def probe_rules(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.probes and not service.route:
        remedy = f"Add {path}/route, or remove the probes"
        yield Problem(f"{path}/probes", "needs a route: probes go through the edge", remedy)
    if service.protocol == "grpc" and service.probes not in ((), health(service.health_path)):
        remedy = "Remove them; write [] to ask nothing at all"
        yield Problem(f"{path}/probes", "cannot be chosen: a grpc service is asked for its health", remedy)


def sticky_rules(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.sticky and (service.protocol != "http" or not service.route):
        what = "has no route" if not service.route else f"speaks {service.protocol}"
        remedy = "Remove it: only users of an http service behind the edge can be told apart by a cookie"
        yield Problem(f"{path}/sticky", f"is true, but the service {what}", remedy)
