"""`timetable`: a job. Sees to it that the coming weeks have journeys, and ends."""

from __future__ import annotations

import logging

from psycopg import Error

from ..database import Database
from ..errors import UnavailableError
from ..settings import Settings
from ..timetable import extend

log = logging.getLogger("wayfare.timetable")


async def run(settings: Settings) -> None:
    assert settings.database
    database = Database(settings.database, settings.identity)
    await database.writes.open()
    try:
        log.info("timetable extended", extra={"journeys": await extend(database)})
    except (Error, UnavailableError) as error:
        raise SystemExit(f"the timetable was not extended: {str(error).strip()}") from error
    finally:
        await database.writes.close()
