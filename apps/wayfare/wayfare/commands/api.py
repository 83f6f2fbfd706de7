"""`api`: the HTTP JSON API under /api/."""

from __future__ import annotations

import asyncio

from ..api import Api
from ..cache import Cache
from ..database import Database
from ..dependency import Dependency
from ..lifecycle import Lifecycle
from ..rpc.client import JourneysClient
from ..server import application, serve
from ..settings import Settings
from ..timetable import keep_extended


async def run(settings: Settings) -> None:
    assert settings.database and settings.redis and settings.session_key
    database, cache = Database(settings.database, settings.identity), Cache(settings.redis)
    await database.open()
    journeys = JourneysClient(settings.journeys_target) if settings.journeys_target else None
    lifecycle = Lifecycle(
        settings,
        [
            Dependency("database-read", database.reads.probe, essential=True),
            # Searching goes on while a primary is being replaced, and bookings wait in their retries.
            Dependency("database-write", database.writes.probe, essential=False),
            Dependency("redis", cache.probe, essential=False),
        ],
    )
    app = application(lifecycle)
    app.add_routes(Api(settings, database, cache, journeys).routes())
    extending = asyncio.create_task(keep_extended(database))
    await serve(app)
    extending.cancel()
    if journeys:
        await journeys.close()
    await database.close()
    await cache.close()
