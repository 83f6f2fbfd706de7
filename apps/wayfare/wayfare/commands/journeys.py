"""`journeys`: the gRPC service, with its metrics on a port of their own."""

from __future__ import annotations

import asyncio
import logging

import grpc
from prometheus_client import start_http_server

from ..cache import Cache
from ..database import Database
from ..dependency import Dependency
from ..feed import Feed
from ..lifecycle import FINISH_REQUESTS, Lifecycle
from ..rpc.health import Health
from ..rpc.observe import Observe
from ..rpc.service import Journeys
from ..settings import Settings

PORT = 9090
METRICS_PORT = 9091
OPTIONS = [
    # Two servers on one port would each get half the calls, silently.
    ("grpc.so_reuseport", 0),
    # Routers keep connections open and ping on them.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]

log = logging.getLogger("wayfare.journeys")


async def run(settings: Settings) -> None:
    assert settings.database and settings.redis
    database, cache = Database(settings.database, settings.identity), Cache(settings.redis)
    await database.reads.open()
    feed = Feed(cache)
    following = asyncio.create_task(feed.run())
    journeys = Journeys(database, cache, feed)
    lifecycle = Lifecycle(
        settings,
        [
            Dependency("database-read", database.reads.probe, essential=True),
            Dependency("redis", cache.probe, essential=False),
        ],
    )
    start_http_server(METRICS_PORT)
    await _serve(lifecycle, journeys)
    following.cancel()
    await database.close()
    await cache.close()


async def _serve(lifecycle: Lifecycle, journeys: Journeys) -> None:
    await lifecycle.start()
    server = grpc.aio.server(interceptors=[Observe(lifecycle.settings.misbehaviour)], options=OPTIONS)
    server.add_generic_rpc_handlers((journeys.handlers(), Health(lifecycle).handlers()))
    server.add_insecure_port(f"0.0.0.0:{PORT}")
    await server.start()
    log.info("listening", extra={"port": PORT})
    await lifecycle.until_told_to_stop()
    journeys.end_watches()
    # Says GOAWAY first, so that clients open their next call elsewhere.
    await server.stop(FINISH_REQUESTS)
    await lifecycle.end()
