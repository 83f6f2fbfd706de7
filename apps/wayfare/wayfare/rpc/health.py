"""The standard health service, answering for the whole server and for `wayfare.Journeys`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from ..lifecycle import Lifecycle
from . import JOURNEYS, health_pb2

KNOWN = ("", JOURNEYS)
LOOK_EVERY = 0.5
Status = health_pb2.HealthCheckResponse


class Health:
    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    async def check(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        if request.service not in KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Ask for {JOURNEYS!r} or ''")
        return Status(status=self._status())

    async def watch(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        told = None
        while True:
            status = self._status() if request.service in KNOWN else Status.SERVICE_UNKNOWN
            if status != told:
                yield Status(status=status)
                told = status
            if self._lifecycle.draining:
                return
            await asyncio.sleep(LOOK_EVERY)

    def _status(self) -> int:
        return int(Status.NOT_SERVING if self._lifecycle.complaints() else Status.SERVING)

    def handlers(self) -> grpc.GenericRpcHandler:
        coders = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": Status.SerializeToString,
        }
        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check, **coders),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, **coders),
            },
        )
