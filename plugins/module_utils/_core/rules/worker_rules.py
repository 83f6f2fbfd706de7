"""Rules for what has no port, and for what keeps data: each function yields what one rule finds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..errors import Problem
from ..release.rollout import Stage, stages
from ..stack.model import Stack
from ..stack.model_service import Service

# What a replica's container has at these places already.
_TAKEN_FOLDERS = ("/tmp", "/run/secrets", "/proc", "/sys", "/dev")


def _needs_port(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if not service.is_worker:
        return
    said = {
        "protocol": service.protocol,
        "health_path": service.health_path,
        "route": service.route,
        "rate_limit": service.rate_limit,
        "metrics_path": service.metrics_path,
        "publish_base": service.publish_base or None,
    }
    for key in (key for key, value in said.items() if value is not None):
        yield Problem(f"{path}/{key}", "needs a port", f"Add {path}/port, or remove it")


def _readiness(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.health_command and not service.is_worker:
        remedy = "Remove it: health_path says when this one is ready"
        yield Problem(f"{path}/health_command", "is for services without a port", remedy)
    if service.is_worker and not service.health_command and service.settle >= service.start_timeout:
        problem = f"is {service.settle} s, no less than the {service.start_timeout} s to get ready in"
        yield Problem(f"{path}/settle", problem, f"Lower it, or raise {path}/start_timeout")


def _no_shares(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.is_worker and any(step.share is not None for step in service.strategy.steps):
        problem = f"{service.strategy.name} moves shares of the traffic, but without a port there is none"
        remedy = "Use rolling, stop_first or recreate, or a strategy of your own without share"
        yield Problem(f"{path}/strategy", problem, remedy)


def _volumes(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.volumes and _overlaps(service):
        problem = f"{service.strategy.name} would run old and new replicas on the same volumes"
        remedy = "Use recreate" if service.replicas > 1 else "Use stop_first, or recreate"
        yield Problem(f"{path}/strategy", problem, remedy)
    folders: list[str] = []
    for name, folder in service.volumes.items():
        taken = (*_TAKEN_FOLDERS, *folders)
        rival = next((it for it in taken if _within(folder, it) or _within(it, folder)), "")
        if folder and rival:
            yield Problem(f"{path}/volumes/{name}", f"is {folder}, where {rival} is", "Choose another path")
        folders.append(folder)


def _overlaps(service: Service) -> bool:
    """Whether the strategy ever has new replicas start, or run, beside old ones."""
    way = [Stage(0, service.replicas, None), *stages(service.strategy, service.replicas)]
    return any(before.old and after.new for before, after in pairwise(way))


def _within(inner: str, outer: str) -> bool:
    return f"{inner}/".startswith(f"{outer}/")


WORKER_RULES = (_needs_port, _readiness, _no_shares, _volumes)
