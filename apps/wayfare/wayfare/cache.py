"""Redis: a cache that may be away, and the channel on which bookings are announced."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ReadOnlyError, RedisError

from .breaker import Breaker
from .errors import CacheAwayError
from .metrics import CACHE, FALLBACKS
from .settings import RedisSettings
from .tracing import asking

CHANNEL = "wayfare:updates"
SEARCH_TTL = 15
VISIT_TTL = 1800
ANSWER_WITHIN = 1.0

T = TypeVar("T")
log = logging.getLogger("wayfare.cache")


class Cache:
    def __init__(self, settings: RedisSettings) -> None:
        pool = BlockingConnectionPool(
            connection_class=SSLConnection,
            # Each has a TLS context of its own, half a megabyte: too dear for one a request.
            max_connections=16,
            timeout=ANSWER_WITHIN,
            host=settings.host,
            port=settings.port,
            password=settings.password,
            ssl_ca_certs=settings.ca_file,
            ssl_check_hostname=True,
            socket_timeout=ANSWER_WITHIN,
            socket_connect_timeout=ANSWER_WITHIN,
            socket_keepalive=True,
            health_check_interval=30,
            retry=Retry(ConstantBackoff(0.05), 1),
            decode_responses=True,
        )
        self.redis = Redis.from_pool(pool)
        self._breaker = Breaker(failures=3, pause=2.0)

    async def probe(self) -> None:
        await self.redis.ping()

    async def close(self) -> None:
        await self.redis.aclose()

    async def search_result(self, day: str, key: str) -> list[dict[str, Any]] | None:
        try:
            found = await self._ask("HGET", self.redis.hget(f"wayfare:search:{day}", key))
        except CacheAwayError:
            CACHE.labels("error").inc()
            FALLBACKS.labels("redis").inc()
            return None
        CACHE.labels("hit" if found else "miss").inc()
        return json.loads(found) if found else None

    async def keep_search_result(self, day: str, key: str, journeys: list[dict[str, Any]]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.hset(f"wayfare:search:{day}", key, json.dumps(journeys))
        pipeline.expire(f"wayfare:search:{day}", SEARCH_TTL, nx=True)
        await self._best_effort("HSET", pipeline.execute())

    async def forget_searches(self, day: str) -> None:
        """One hash a day, so that a booking makes a whole day's results stale with one command."""
        await self._best_effort("DEL", self.redis.delete(f"wayfare:search:{day}"))

    async def announce(self, message: dict[str, Any]) -> None:
        await self._best_effort("PUBLISH", self.redis.publish(CHANNEL, json.dumps(message)))

    async def remember_visit(self, session: str) -> None:
        await self._best_effort("SET", self.redis.set(f"wayfare:searched:{session}", 1, ex=VISIT_TTL))

    async def end_visit(self, session: str) -> bool:
        """Whether this visitor had searched since the last booking."""
        try:
            return bool(await self._ask("DEL", self.redis.delete(f"wayfare:searched:{session}")))
        except CacheAwayError:
            return False

    async def _best_effort(self, name: str, command: Awaitable[Any]) -> None:
        try:
            await self._ask(name, command)
        except CacheAwayError as away:
            log.debug("cache away", extra={"problem": str(away)})

    async def _ask(self, name: str, command: Awaitable[T]) -> T:
        if not self._breaker.allows():
            if asyncio.iscoroutine(command):
                command.close()
            raise CacheAwayError("not asked: it failed a moment ago")
        try:
            with asking(name, "redis", {"db.system.name": "redis"}):
                answer = await asyncio.wait_for(command, 2 * ANSWER_WITHIN)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.failed()
            if isinstance(error, ReadOnlyError):
                # Connections to a demoted master stay open and useless.
                await self.redis.connection_pool.disconnect()
            raise CacheAwayError(str(error)) from error
        self._breaker.succeeded()
        return answer
