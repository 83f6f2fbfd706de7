"""A replica's life: its dependencies, whether it is ready, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

from .metrics import BUILD, DEPENDENCY_UP, READY
from .settings import Settings

FIRST_RETRY = 0.1
LONGEST_RETRY = 3.0
PROBE_INTERVAL = 5.0
PROBE_TIMEOUT = 3.0
# A failover takes seconds. Were every replica to leave the router meanwhile, what still works would fail as well.
GRACE = 15.0
# Longer than the longest request there is; the engine's stop_grace_period decides before that.
FINISH_REQUESTS = 65.0

log = logging.getLogger("wayfare.lifecycle")


class Dependency:
    """Something that must have answered once before a replica is ready; an essential one must keep answering."""

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        *,
        essential: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._probe = probe
        self._essential = essential
        self._clock = clock
        self._answered: float | None = None
        self._problem = "has not answered yet"

    @property
    def complaint(self) -> str | None:
        """Why this dependency keeps the replica from being ready."""
        if self._answered is None:
            return f"{self.name}: {self._problem}"
        if self._essential and self._problem and self._clock() - self._answered > GRACE:
            return f"{self.name}: away for more than {GRACE:g} s, {self._problem}"
        return None

    async def check(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self._probe()
        except Exception as error:  # whatever a driver raises means the same here: it did not answer
            self._note(f"{type(error).__name__}: {error}".strip().splitlines()[0])
            return False
        self._note("")
        self._answered = self._clock()
        return True

    async def watch(self) -> None:
        """Probe for ever: soon and then ever later while it is away, now and then while it answers."""
        retry = FIRST_RETRY
        while True:
            if await self.check():
                retry = FIRST_RETRY
                await asyncio.sleep(PROBE_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311
            else:
                await asyncio.sleep(retry * random.uniform(0.5, 1.0))  # noqa: S311
                retry = min(retry * 2, LONGEST_RETRY)

    def _note(self, problem: str) -> None:
        if bool(problem) != bool(self._problem) or (problem and self._answered is None and problem != self._problem):
            level = logging.WARNING if problem else logging.INFO
            log.log(level, "dependency away" if problem else "dependency answers", extra=self._fields(problem))
        self._problem = problem
        DEPENDENCY_UP.labels(self.name).set(0 if problem else 1)

    def _fields(self, problem: str) -> dict[str, str]:
        return {"dependency": self.name, "problem": problem} if problem else {"dependency": self.name}


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
            await asyncio.sleep(0.05)
        if not self.draining:
            log.info("ready", extra={"seconds": round(time.monotonic() - self._started, 3)})

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
