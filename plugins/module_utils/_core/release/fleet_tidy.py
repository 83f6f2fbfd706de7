"""Moves beside rollouts: replicas that are missing, too many, or in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..pool_names import POOLS
from ..stack.model_service import Service
from .fleet import Seen
from .stage_moves import Move


def fill(services: Sequence[tuple[Service, Mapping[str, Seen]]], release: str) -> Iterator[Move]:
    """Replicas that are missing where nothing has changed: a first deployment, a new host, a crash.

    Routers that are not there yet cannot confirm that they have found them. Where others will be retired in
    their favour, as after an interrupted run, the routers are there, and must have.
    """
    missing = {
        service.name: {
            "pool": host.live,
            "count": service.replicas,
            "release": release,
            "confirmed": all(sum(told.there.values()) > told.there[told.live] for told in seen.values()),
        }
        for service, seen in services
        for host in seen.values()
        if host.running[host.live] < service.replicas
    }
    if missing:
        yield Move("start", f"start replicas: {', '.join(sorted(missing))}", missing)


def tidy(services: Sequence[tuple[Service, Mapping[str, Seen]]]) -> Iterator[Move]:
    """What runs and should not where nothing has changed: left by a run that died, or more than is wanted."""
    stray = [(it, seen) for it, seen in services if not all(host.warm for host in seen.values())]
    yield from clear(stray, "retire what an interrupted run left behind")
    shrunk = {
        service.name: {"pool": host.live, "count": service.replicas}
        for service, seen in services
        for host in seen.values()
        if host.there[host.live] > service.replicas
    }
    if shrunk:
        yield Move("retire", f"retire surplus replicas: {', '.join(sorted(shrunk))}", shrunk)


def clear(services: Sequence[tuple[Service, Mapping[str, Seen]]], title: str) -> Iterator[Move]:
    """Empty free pools: of what an interrupted run left, or of what was kept warm and is not gone back to."""
    stray = {}
    for service, seen in services:
        for host in seen.values():
            free = next(pool for pool in POOLS if pool != host.live)
            if host.there[free]:
                stray[service.name] = (host.live, free, service.is_worker)
    if stray:
        shares = {name: {live: 100, free: 0} for name, (live, free, worker) in stray.items() if not worker}
        if shares:
            yield Move("traffic", "send all the traffic to the live replicas", shares)
        gone = {name: {"pool": free, "count": 0} for name, (_live, free, _worker) in stray.items()}
        yield Move("retire", title, gone)
