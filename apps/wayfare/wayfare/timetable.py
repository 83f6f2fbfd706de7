"""Keeps journeys in the timetable for the coming weeks, however long an installation lives."""

from __future__ import annotations

import asyncio
import logging
import random

from psycopg import Error

from .database import Connection, Database
from .errors import UnavailableError

EVERY = 6 * 3600.0
AFTER_A_FAILURE = 60.0

log = logging.getLogger("wayfare.timetable")


async def keep_extended(database: Database) -> None:
    """Every replica of the api asks; `extend_timetable` lets one do it and adds only what is missing."""
    # Not at once: a fresh replica has more urgent things to do, and its siblings started with it.
    pause = random.uniform(10, 60)
    while True:
        await asyncio.sleep(pause)
        try:
            added = await extend(database)
            pause = EVERY * random.uniform(0.9, 1.1)
            if added:
                log.info("timetable extended", extra={"journeys": added})
        except (Error, UnavailableError) as error:
            pause = AFTER_A_FAILURE
            log.warning("timetable not extended", extra={"problem": str(error).strip()})


async def extend(database: Database) -> int:
    """Add what is missing of the coming weeks; return how many journeys that were."""
    return await database.writes.run(_extend)


async def _extend(connection: Connection) -> int:
    row = await (await connection.execute("SELECT extend_timetable(current_date + 21) AS added")).fetchone()
    return int(row["added"]) if row else 0
