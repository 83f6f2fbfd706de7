"""What every HTTP command shares: correlation ids, logs, metrics, errors, health, a clean end."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from .errors import RefusedError, UnavailableError
from .lifecycle import FINISH_REQUESTS, Lifecycle
from .log import REQUEST_ID, begin_request
from .metrics import HTTP_IN_FLIGHT, HTTP_REQUESTS, HTTP_SECONDS
from .tracing import answering

PORT = 8080
PLATFORM_ROUTES = ("/live", "/ready", "/metrics")
CLIENT_WENT_AWAY = 499

LIFECYCLE: web.AppKey[Lifecycle] = web.AppKey("lifecycle", Lifecycle)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("wayfare.http")


def application(lifecycle: Lifecycle) -> web.Application:
    app = web.Application(middlewares=[observe, answer_errors, misbehave])
    app[LIFECYCLE] = lifecycle
    app.on_response_prepare.append(_add_headers)
    app.router.add_get("/live", _live)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/metrics", _metrics)
    return app


async def serve(app: web.Application, before_close: Callable[[], Awaitable[None]] | None = None) -> None:
    """Listen until told to stop; then finish what is in flight."""
    lifecycle = app[LIFECYCLE]
    await lifecycle.start()
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=FINISH_REQUESTS)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT, backlog=1024).start()  # a container's own network
    log.info("listening", extra={"port": PORT})
    await lifecycle.until_told_to_stop()
    if before_close:
        await before_close()
    await runner.cleanup()
    await lifecycle.end()


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One log line and one measurement a request, whatever becomes of it."""
    request["id"] = begin_request(request.headers.get("X-Request-ID"))
    if request.path in PLATFORM_ROUTES:
        return await _measured(request, handler)
    name = f"{request.method} {_route(request)}"
    facts = {"http.request.method": request.method, "url.path": request.path, "request_id": request["id"]}
    with answering(name, request.headers, facts) as span:
        response = await _measured(request, handler)
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= 500:
            span.failed(str(response.status))
        return response


async def _measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    started = time.perf_counter()
    status, size = CLIENT_WENT_AWAY, 0
    HTTP_IN_FLIGHT.inc()
    try:
        response = await handler(request)
        status, size = response.status, response.body_length or response.content_length or 0
        return response
    except ConnectionError:
        # The client left while a response was being streamed: nobody is left to answer.
        return web.Response(status=CLIENT_WENT_AWAY)
    finally:
        HTTP_IN_FLIGHT.dec()
        _account(request, status, size, time.perf_counter() - started)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure is JSON with a code, a sentence and the correlation id."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return error(refused.status, refused.code, str(refused))
    except UnavailableError as away:
        response = error(503, "unavailable", str(away))
        response.headers["Retry-After"] = "1"
        return response
    except web.HTTPException as exception:
        if exception.status < 400:
            raise
        response = error(exception.status, exception.reason.lower().replace(" ", "_"), exception.reason)
        if "Allow" in exception.headers:
            response.headers["Allow"] = exception.headers["Allow"]
        return response
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("bug")
        return error(500, "internal", "This is a fault of ours; the log has it under this request id")


@web.middleware
async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
    misbehaviour = request.app[LIFECYCLE].settings.misbehaviour
    if request.path in PLATFORM_ROUTES:
        return await handler(request)
    if misbehaviour.latency:
        await asyncio.sleep(misbehaviour.latency)
    misbehaviour.raise_if_told_to()
    if misbehaviour.fails_now():
        return error(500, "misbehaviour", "Told to fail by MISBEHAVE")
    return await handler(request)


def error(status: int, code: str, message: str) -> web.Response:
    body = {"error": {"code": code, "message": message}, "request_id": REQUEST_ID.get()}
    return web.json_response(body, status=status)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    lifecycle = request.app[LIFECYCLE]
    identity = lifecycle.settings.identity
    response.headers["Server"] = "wayfare"
    response.headers["X-Request-ID"] = request.get("id", "")
    # For clients: the edge keeps what the platform's own headers say to itself.
    response.headers["X-Wayfare-Version"] = identity.version
    response.headers["X-Slipway-Service"] = identity.service
    response.headers["X-Slipway-Pool"] = identity.pool
    response.headers["X-Slipway-Replica"] = identity.replica
    if lifecycle.draining and not isinstance(response, web.WebSocketResponse):
        # A client that keeps this connection would send its next request to a replica that is gone.
        response.headers["Connection"] = "close"
        response.force_close()


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unmatched"


def _account(request: web.Request, status: int, size: int, seconds: float) -> None:
    route = _route(request)
    platform = route in PLATFORM_ROUTES
    if not platform:
        HTTP_REQUESTS.labels(request.method, route, str(status)).inc()
        HTTP_SECONDS.labels(request.method, route).observe(seconds)
    log.log(
        logging.DEBUG if platform else logging.INFO,
        "request",
        extra={
            "method": request.method,
            "path": request.path,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "bytes": size,
            "client": request.headers.get("X-Forwarded-For", request.remote),
        },
    )


async def _live(request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _ready(request: web.Request) -> web.Response:
    complaints = request.app[LIFECYCLE].complaints()
    return web.json_response(
        {"ready": not complaints, "waiting_for": complaints}, status=503 if complaints else 200
    )


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def json_body(request: web.Request, most: int = 64 * 1024) -> dict[str, object]:
    if request.content_type != "application/json":
        raise RefusedError(415, "not_json", "Send the body as application/json")
    raw = await request.content.read(most + 1)
    while not request.content.at_eof() and len(raw) <= most:
        raw += await request.content.read(most + 1 - len(raw))
    if len(raw) > most:
        raise RefusedError(413, "too_large", f"Send at most {most} bytes")
    try:
        body = json.loads(raw)
    except ValueError as problem:
        raise RefusedError(400, "not_json", f"The body is not JSON: {problem}") from problem
    if not isinstance(body, dict):
        raise RefusedError(400, "not_json", "The body must be a JSON object")
    return body
