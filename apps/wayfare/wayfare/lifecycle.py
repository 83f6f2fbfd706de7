"""A replica's life: how it starts, whether it is ready, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence

from .dependency import Dependency
from .metrics import BUILD, DEPENDENCY_UP, READY
from .settings import Settings

# Longer than the longest request there is; the engine's stop_grace_period decides before that.
FINISH_REQUESTS = 65.0

log = logging.getLogger("wayfare.lifecycle")


class Lifecycle:
    def __init__(self, settings: Settings, dependencies: Sequence[Dependency] = ()) -> None:
        self.settings = settings
        self.dependencies = dependencies
        self._stop = asyncio.Event()
        self._started = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def draining(self) -> bool:
        return self._stop.is_set()

    def complaints(self) -> list[str]:
        """Why this replica is not ready; empty when it is."""
        if self.draining:
            return ["stopping"]
        if self.settings.misbehaviour.never_ready:
            return ["told never to be ready"]
        return [complaint for dependency in self.dependencies if (complaint := dependency.complaint)]

    async def start(self) -> None:
        """Returns when the replica may listen, or has been told to stop before that."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        identity = self.settings.identity
        BUILD.info({"version": identity.version, "service": identity.service, "pool": identity.pool})
        READY.set_function(lambda: float(not self.complaints()))
        for dependency in self.dependencies:
            DEPENDENCY_UP.labels(dependency.name).set_function(dependency.up)
        self._tasks = [asyncio.create_task(dependency.watch()) for dependency in self.dependencies]
        self._tasks.append(asyncio.create_task(self._announce()))
        self._tasks.append(asyncio.create_task(self.settings.misbehaviour.run()))
        if self.settings.misbehaviour.slow_start:
            await self._sleep(self.settings.misbehaviour.slow_start)

    async def until_told_to_stop(self) -> None:
        """Returns when the routers have had time to see that this replica is no longer ready."""
        await self._stop.wait()
        log.info("draining", extra={"drain_delay": self.settings.drain_delay})
        await asyncio.sleep(self.settings.drain_delay)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        log.info("stopped")

    async def _announce(self) -> None:
        while self.complaints() and not self.draining:
            await asyncio.sleep(0.05)  # between two looks; `end` ends it
        if not self.draining:
            log.info("ready", extra={"seconds": round(time.monotonic() - self._started, 3)})

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
