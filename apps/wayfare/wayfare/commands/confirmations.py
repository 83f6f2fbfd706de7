"""`confirmations`: a worker. Confirms bookings as Redis announces them; listens on no port."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from psycopg import Error

from ..cache import Cache
from ..confirming import confirm
from ..database import Database
from ..dependency import Dependency
from ..errors import UnavailableError
from ..feed import Feed, Listener
from ..lifecycle import Lifecycle
from ..settings import Settings

# Announcements may be lost; the database knows.
LOOK_ANYWAY = 10.0
# Touched as long as all is well, for a health check that costs next to nothing.
READY_FILE = Path("/tmp/ready")
TOUCH_EVERY = 2.0

log = logging.getLogger("wayfare.confirmations")


async def run(settings: Settings) -> None:
    assert settings.database and settings.redis
    database, cache = Database(settings.database, settings.identity), Cache(settings.redis)
    await database.writes.open()
    feed = Feed(cache)
    lifecycle = Lifecycle(
        # No router has to notice that it stops.
        replace(settings, drain_delay=0),
        [
            Dependency("database-write", database.writes.probe, essential=True),
            Dependency("redis", cache.probe, essential=False),
        ],
    )
    await lifecycle.start()
    tasks = [asyncio.create_task(it) for it in (feed.run(), _work(database, feed), _tell(lifecycle))]
    await lifecycle.until_told_to_stop()
    # What is cut short is rolled back, and confirmed by whoever comes next.
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await lifecycle.end()
    await database.close()
    await cache.close()


async def _work(database: Database, feed: Feed) -> None:
    with feed.listening(size=1) as listener:
        while True:
            try:
                confirmed = await confirm(database)
            except (Error, UnavailableError) as error:
                log.warning("nothing confirmed", extra={"problem": str(error).strip()})
                confirmed = []
            for booking in confirmed:
                log.info("booking confirmed", extra={"booking": booking})
            if not confirmed:
                await _wake(listener)


async def _wake(listener: Listener) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_ANYWAY):
            await listener.next()


async def _tell(lifecycle: Lifecycle) -> None:
    while True:
        if lifecycle.complaints():
            READY_FILE.unlink(missing_ok=True)
        else:
            READY_FILE.touch()
        await asyncio.sleep(TOUCH_EVERY)
