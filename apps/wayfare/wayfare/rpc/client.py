"""Searching by way of the journeys service."""

from __future__ import annotations

from typing import Any

import grpc

from ..breaker import Breaker
from ..errors import JourneysAwayError, RefusedError
from ..log import REQUEST_ID
from ..query import SearchQuery
from ..tracing import asking, headers
from . import JOURNEYS, journeys_pb2

DEADLINE = 2.0
OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]


class JourneysClient:
    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        self._search = self._channel.unary_unary(
            f"/{JOURNEYS}/Search",
            request_serializer=journeys_pb2.SearchRequest.SerializeToString,
            response_deserializer=journeys_pb2.SearchReply.FromString,
        )
        self._breaker = Breaker(failures=3, pause=2.0)

    async def close(self) -> None:
        await self._channel.close()

    async def find(self, query: SearchQuery) -> tuple[list[dict[str, Any]], bool]:
        if not self._breaker.allows():
            raise JourneysAwayError("breaker")
        request = journeys_pb2.SearchRequest(
            origin=query.origin, destination=query.destination, day=query.day.isoformat(), text=query.text
        )
        try:
            with asking(f"{JOURNEYS}/Search", "journeys", {"rpc.system": "grpc"}):
                metadata = (("x-request-id", REQUEST_ID.get()), *headers().items())
                reply = await self._search(request, timeout=DEADLINE, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise RefusedError(
                    400, "bad_search", error.details() or "The search is not understood"
                ) from error
            self._breaker.failed()
            raise JourneysAwayError(error.code().name.lower()) from error
        self._breaker.succeeded()
        return [_journey(message) for message in reply.journeys], reply.cached


def _journey(message: Any) -> dict[str, Any]:
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    return values | {"amenities": list(message.amenities), "via": list(message.via)}
