"""The gRPC service `wayfare.Journeys`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from ..cache import Cache
from ..database import Database
from ..errors import RefusedError
from ..feed import RESYNC, Feed, Listener
from ..metrics import SEARCH_SECONDS
from ..query import SearchQuery, journey_id
from ..search import find
from . import JOURNEYS, journeys_pb2

MOST_WATCHED = 100


class Journeys:
    def __init__(self, database: Database, cache: Cache, feed: Feed) -> None:
        self._database = database
        self._cache = cache
        self._feed = feed
        self._ending = asyncio.Event()

    def end_watches(self) -> None:
        """Let go of those who would otherwise listen for ever."""
        self._ending.set()

    async def search(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        query = SearchQuery.parse(
            {"from": request.origin, "to": request.destination, "date": request.day, "q": request.text}
        )
        with SEARCH_SECONDS.labels("database").time():
            journeys, cached = await find(query, self._database, self._cache)
        return journeys_pb2.SearchReply(
            journeys=[journeys_pb2.Journey(**each) for each in journeys], cached=cached
        )

    async def watch(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        if len(request.journey_ids) > MOST_WATCHED:
            raise RefusedError(400, "too_many", f"Watch at most {MOST_WATCHED} journeys")
        wanted = {str(journey_id(identifier)) for identifier in request.journey_ids}
        # The caller learns that it is being listened for before it waits for a change.
        await context.send_initial_metadata(())
        with self._feed.listening() as listener:
            for seats in await self._present(wanted):
                yield seats
            while message := await self._next(listener):
                if message == RESYNC:
                    for seats in await self._present(wanted):
                        yield seats
                elif message["type"] == "booking" and (not wanted or message["journey"]["id"] in wanted):
                    yield journeys_pb2.SeatsLeft(
                        journey_id=message["journey"]["id"], seats_left=message["journey"]["seats_left"]
                    )
        await context.abort(
            grpc.StatusCode.UNAVAILABLE, "Watch again: this replica ends or you did not keep up"
        )

    async def _next(self, listener: Listener) -> dict[str, Any] | None:
        """The next announcement, or None when watching has to end."""
        message = asyncio.ensure_future(listener.next())
        endings = [asyncio.ensure_future(event.wait()) for event in (self._ending, listener.overrun)]
        try:
            await asyncio.wait([message, *endings], return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() and not any(end.done() for end in endings) else None
        finally:
            for task in (message, *endings):
                task.cancel()

    async def _present(self, wanted: set[str]) -> list[Any]:
        if not wanted:
            return []
        rows = await self._database.fetch(
            "SELECT id, seats_left FROM journeys WHERE id = ANY(%s::uuid[])", (list(wanted),)
        )
        return [
            journeys_pb2.SeatsLeft(journey_id=str(row["id"]), seats_left=row["seats_left"]) for row in rows
        ]

    def handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            JOURNEYS,
            {
                "Search": grpc.unary_unary_rpc_method_handler(
                    self.search,
                    request_deserializer=journeys_pb2.SearchRequest.FromString,
                    response_serializer=journeys_pb2.SearchReply.SerializeToString,
                ),
                "Watch": grpc.unary_stream_rpc_method_handler(
                    self.watch,
                    request_deserializer=journeys_pb2.WatchRequest.FromString,
                    response_serializer=journeys_pb2.SeatsLeft.SerializeToString,
                ),
            },
        )
