"""Around every call of `wayfare.Journeys`: correlation id, log line, metrics, errors, misbehaviour."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from ..errors import RefusedError, UnavailableError
from ..log import REQUEST_ID, begin_request
from ..metrics import RPC_IN_FLIGHT, RPC_REQUESTS, RPC_SECONDS
from ..misbehaviour import Misbehaviour
from ..tracing import answering
from . import JOURNEYS

log = logging.getLogger("wayfare.rpc")


class Observe(grpc.aio.ServerInterceptor):
    def __init__(self, misbehaviour: Misbehaviour) -> None:
        self._misbehaviour = misbehaviour

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(f"/{JOURNEYS}/"):
            return handler
        wrap, make = (
            (self._stream, grpc.unary_stream_rpc_method_handler)
            if handler.response_streaming
            else (self._unary, grpc.unary_unary_rpc_method_handler)
        )
        return make(
            wrap(handler, details.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, handler: Any, method: str) -> Any:
        async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
            with _observed(method, context), _traced(method, context):
                await self._misbehave(context)
                with _errors_as_status() as failure:
                    return await handler.unary_unary(request, context)
                return await context.abort(*failure)

        return answer

    def _stream(self, handler: Any, method: str) -> Any:
        async def answer(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            with _observed(method, context):
                await self._misbehave(context)
                with _errors_as_status() as failure:
                    async for reply in handler.unary_stream(request, context):
                        yield reply
                    return
                await context.abort(*failure)

        return answer

    async def _misbehave(self, context: grpc.aio.ServicerContext) -> None:
        if self._misbehaviour.latency:
            await asyncio.sleep(self._misbehaviour.latency)
        self._misbehaviour.raise_if_told_to()
        if self._misbehaviour.fails_now():
            await context.abort(grpc.StatusCode.INTERNAL, "Told to fail by MISBEHAVE")


@contextmanager
def _errors_as_status() -> Iterator[list[Any]]:
    """Collects the status to abort with: `abort` must be awaited, which a context manager's exit cannot."""
    failure: list[Any] = []
    try:
        yield failure
    except RefusedError as refused:
        failure += [grpc.StatusCode.INVALID_ARGUMENT, str(refused)]
    except UnavailableError as away:
        failure += [grpc.StatusCode.UNAVAILABLE, str(away)]


@contextmanager
def _observed(method: str, context: grpc.aio.ServicerContext) -> Iterator[None]:
    offered = dict(context.invocation_metadata() or ()).get("x-request-id")
    begin_request(offered if isinstance(offered, str) else None)
    started = time.perf_counter()
    RPC_IN_FLIGHT.inc()
    outcome = "OK"
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        outcome = "CANCELLED"
        raise
    except grpc.aio.AbortError:
        outcome = _code(context)
        raise
    except Exception:
        outcome = "UNKNOWN"
        log.exception("bug")
        raise
    finally:
        seconds = time.perf_counter() - started
        RPC_IN_FLIGHT.dec()
        RPC_REQUESTS.labels(method, outcome).inc()
        RPC_SECONDS.labels(method).observe(seconds)
        log.info(
            "call", extra={"method": method, "status": outcome, "milliseconds": round(seconds * 1000, 1)}
        )


@contextmanager
def _traced(method: str, context: grpc.aio.ServicerContext) -> Iterator[None]:
    """Of calls with one answer; a stream lives for hours, and says nothing of its own before its end."""
    carrier = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    facts = {"rpc.system": "grpc", "request_id": REQUEST_ID.get()}
    with answering(method.removeprefix("/"), carrier, facts) as span:
        try:
            yield
        except grpc.aio.AbortError:
            code = _code(context)
            span.set_attribute("rpc.grpc.status_code", code)
            if code != grpc.StatusCode.INVALID_ARGUMENT.name:
                span.failed(code)
            raise
        except Exception as error:
            span.failed(type(error).__name__)
            raise


def _code(context: grpc.aio.ServicerContext) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name
