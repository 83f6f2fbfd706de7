"""Long and large requests, for trying drains, limits and timeouts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from functools import lru_cache

from aiohttp import web

from .errors import RefusedError
from .pacing import ahead
from .query import whole_number

LONGEST_SLOW = 60
LARGEST = 100_000_000
_BLOCK = bytes(range(256)) * 256
_TICK = 0.5


async def slow(request: web.Request) -> web.StreamResponse:
    """Streams for `seconds`, a line every half second; the last line says that it is the last."""
    seconds = whole_number(request.query, "seconds", 0, LONGEST_SLOW)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        await response.write(_line(done=False, elapsed=elapsed))
        await asyncio.sleep(min(_TICK, seconds - elapsed))
    await response.write(_line(done=True, elapsed=time.monotonic() - started))
    await response.write_eof()
    return response


async def echo(request: web.Request) -> web.Response:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_chunked(65536):
        size += len(chunk)
        if size > LARGEST:
            raise RefusedError(413, "too_large", f"Send at most {LARGEST} bytes")
        digest.update(chunk)
    return web.json_response({"size": size, "sha256": digest.hexdigest()})


async def download(request: web.Request) -> web.StreamResponse:
    """The same bytes every time, with their digest in a header; with `seconds`, spread over that time."""
    size = whole_number(request.query, "bytes", 0, LARGEST)
    seconds = whole_number(request.query, "seconds", 0, LONGEST_SLOW) if "seconds" in request.query else 0
    digest = await asyncio.to_thread(_digest, size)
    response = web.StreamResponse(
        headers={"Content-Type": "application/octet-stream", "X-Content-SHA256": digest}
    )
    response.content_length = size
    await response.prepare(request)
    begun, sent = time.monotonic(), 0
    for chunk in _chunks(size):
        await response.write(chunk)
        sent += len(chunk)
        await asyncio.sleep(ahead(sent, size, seconds, time.monotonic() - begun))
    await response.write_eof()
    return response


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // len(_BLOCK)):
        yield _BLOCK
    yield _BLOCK[: size % len(_BLOCK)]


@lru_cache(maxsize=64)
def _digest(size: int) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(size):
        digest.update(chunk)
    return digest.hexdigest()


def _line(*, done: bool, elapsed: float) -> bytes:
    return json.dumps({"done": done, "elapsed": round(elapsed, 2)}).encode() + b"\n"
