"""What Redis announces, handed to everyone who listens in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from .cache import CHANNEL, Cache
from .metrics import FEED_RECONNECTS

IDLE_PING = 5.0
SILENCE = 3 * IDLE_PING
FIRST_RETRY = 0.1
LONGEST_RETRY = 3.0
# Announcements made while the subscription was down are lost: whoever listens must look for itself.
RESYNC = {"type": "resync"}

Message = dict[str, Any]
log = logging.getLogger("wayfare.feed")


class Listener:
    """A bounded queue: one that does not keep up is told so instead of filling the memory."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(size)
        self.overrun = asyncio.Event()

    def offer(self, message: Message) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.overrun.set()

    async def next(self) -> Message:
        return await self._queue.get()


class Feed:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._listeners: set[Listener] = set()

    @contextmanager
    def listening(self, size: int = 200) -> Iterator[Listener]:
        listener = Listener(size)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Stay subscribed for ever."""
        retry = FIRST_RETRY
        while True:
            try:
                async with self._subscription() as subscription:
                    retry = FIRST_RETRY
                    self._hand_out(RESYNC)
                    await self._pump(subscription)
            except (RedisError, OSError, TimeoutError) as error:
                FEED_RECONNECTS.inc()
                # Once an outage, not once an attempt.
                level = logging.WARNING if retry == FIRST_RETRY else logging.DEBUG
                log.log(level, "feed interrupted", extra={"problem": f"{type(error).__name__}: {error}"})
                await asyncio.sleep(retry * random.uniform(0.5, 1))
                retry = min(retry * 2, LONGEST_RETRY)

    @asynccontextmanager
    async def _subscription(self) -> AsyncIterator[PubSub]:
        subscription = self._cache.redis.pubsub()
        try:
            await subscription.subscribe(CHANNEL)
            yield subscription
        finally:
            await subscription.aclose()

    async def _pump(self, subscription: PubSub) -> None:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            event = await subscription.get_message(timeout=IDLE_PING)
            if event:
                heard = loop.time()
                if event["type"] == "message":
                    self._hand_out(json.loads(event["data"]))
            elif loop.time() - heard > SILENCE:
                raise TimeoutError(f"nothing heard for {SILENCE:g} s, not even an answer to a ping")
            else:
                await subscription.ping()

    def _hand_out(self, message: Message) -> None:
        for listener in self._listeners:
            listener.offer(message)
