"""Whether the replicas of workers stay up, as their own host sees it: no router asks them anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..docker.engine import CRASHES, Container, Engine
from ..errors import SlipwayError

POLL = 1.0
# Looks in a row: one that has just ended is started again by the engine within the next second.
LOOKS_DOWN = 2


def stay_up(
    engine: Engine,
    names: Sequence[str],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Look every second for `seconds` (0: once); SlipwayError with the last words of one that does not.

    Crashes are counted since a replica was started: a single look also finds those of the time before.
    """
    until = clock() + seconds
    down: dict[str, int] = {}
    while True:
        containers = {container.service: container for container in engine.containers()}
        for name in names:
            container = containers.get(name)
            down[name] = 0 if container and container.running else down.get(name, 0) + 1
            fault = _fault(name, container, engine.restarts(name), not seconds or down[name] >= LOOKS_DOWN)
            if fault:
                words = engine.last_words([container] if container else [])
                raise SlipwayError(fault + words, "Correct the image or its configuration, and deploy again")
        if clock() >= until:
            return [f"{name} stayed up" for name in names]
        sleep(POLL)  # between two looks


def _fault(name: str, container: Container | None, crashes: int, lasting: bool) -> str:
    if container is None:
        return f"{name} is gone"
    if crashes >= CRASHES:
        return f"{name} has crashed {crashes} times since it was started"
    if "unhealthy" in container.status:
        return f"{name} is unhealthy: its health_command fails"
    return f"{name} does not run ({container.status})" if not container.running and lasting else ""
