"""`updates`: tells every connected browser what is booked, over WebSocket under /ws/."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict

from aiohttp import WSCloseCode, web

from ..cache import Cache
from ..dependency import Dependency
from ..feed import Feed, Listener
from ..lifecycle import Lifecycle
from ..metrics import WEBSOCKET_DROPPED, WEBSOCKET_MESSAGES, WEBSOCKETS
from ..server import application, serve
from ..settings import Settings

HEARTBEAT = 20.0
# All browsers of a replica that reconnect in the same instant would be a small attack on its siblings.
SPREAD_CLOSING = 2.0
CLOSE_WITHIN = 2.0


async def run(settings: Settings) -> None:
    assert settings.redis
    cache = Cache(settings.redis)
    feed = Feed(cache)
    browsers = Browsers(settings, feed)
    lifecycle = Lifecycle(settings, [Dependency("redis", cache.probe, essential=True)])
    app = application(lifecycle)
    app.router.add_get("/ws/", browsers.connect)
    app.router.add_get("/ws", browsers.connect)
    following = asyncio.create_task(feed.run())
    await serve(app, before_close=browsers.send_away)
    following.cancel()
    await cache.close()


class Browsers:
    """The open WebSockets. Announcements are public and cookies are not read, so any origin may listen."""

    def __init__(self, settings: Settings, feed: Feed) -> None:
        self._hello = {"type": "hello", **asdict(settings.identity)}
        self._feed = feed
        self._open: set[web.WebSocketResponse] = set()

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=4096, timeout=CLOSE_WITHIN)
        await socket.prepare(request)
        self._open.add(socket)
        WEBSOCKETS.set(len(self._open))
        try:
            with self._feed.listening() as listener:
                await socket.send_json(self._hello)
                await self._converse(socket, listener)
        finally:
            self._open.discard(socket)
            WEBSOCKETS.set(len(self._open))
        return socket

    async def send_away(self) -> None:
        """Close everything with 1001: the browser is to come back, to another replica."""
        await asyncio.gather(*(self._close(socket) for socket in list(self._open)), return_exceptions=True)

    async def _converse(self, socket: web.WebSocketResponse, listener: Listener) -> None:
        """Send until the browser leaves, or falls so far behind that it had better start afresh."""
        sending = asyncio.create_task(_send(socket, listener))
        overrun = asyncio.create_task(listener.overrun.wait())
        reading = asyncio.create_task(_read(socket))
        tasks = (sending, overrun, reading)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if overrun.done():
                WEBSOCKET_DROPPED.inc()
                await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow, connect again")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self, socket: web.WebSocketResponse) -> None:
        await asyncio.sleep(random.uniform(0, SPREAD_CLOSING))
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"this replica is stopping, connect again")


async def _send(socket: web.WebSocketResponse, listener: Listener) -> None:
    while True:
        message = await listener.next()
        await socket.send_json(message)
        WEBSOCKET_MESSAGES.labels(message["type"]).inc()


async def _read(socket: web.WebSocketResponse) -> None:
    """Browsers have nothing to say, but only a reader notices pongs and the end."""
    async for _ in socket:
        pass
