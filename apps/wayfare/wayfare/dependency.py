"""What a replica needs of others, and when their absence makes it unfit to serve."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

FIRST_RETRY = 0.1
LONGEST_RETRY = 3.0
PROBE_INTERVAL = 5.0
PROBE_TIMEOUT = 3.0
# A failover takes seconds. Were all replicas to leave the router meanwhile, what still works would fail too.
GRACE = 15.0

log = logging.getLogger("wayfare.lifecycle")


class Dependency:
    """What must have answered once for a replica to be ready; an essential one must keep answering."""

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

    def up(self) -> float:
        """1 when the last probe was answered."""
        return 0.0 if self._problem else 1.0

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
                await asyncio.sleep(PROBE_INTERVAL * random.uniform(0.8, 1.2))
            else:
                await asyncio.sleep(retry * random.uniform(0.5, 1.0))
                retry = min(retry * 2, LONGEST_RETRY)

    def _note(self, problem: str) -> None:
        if bool(problem) != bool(self._problem) or (
            problem and self._answered is None and problem != self._problem
        ):
            level = logging.WARNING if problem else logging.INFO
            log.log(
                level, "dependency away" if problem else "dependency answers", extra=self._fields(problem)
            )
        self._problem = problem

    def _fields(self, problem: str) -> dict[str, str]:
        return {"dependency": self.name, "problem": problem} if problem else {"dependency": self.name}
