"""PostgreSQL behind a transaction-pooling PgBouncer: a pool for writes, one for reads, short transactions."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from psycopg import AsyncConnection, AsyncCursor, Error, OperationalError
from psycopg.errors import QueryCanceled
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from .errors import UnavailableError
from .metrics import DATABASE_CONNECTIONS, DATABASE_RETRIES, DATABASE_WAITING
from .settings import DatabaseSettings, Identity
from .tracing import asking, commented


class Connection(AsyncConnection[DictRow]):
    """Each statement says whose it is, and is a span of its trace."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> AsyncCursor[DictRow]:
        name = query.split(None, 1)[0].rstrip(";") if query.strip() else "ping"
        facts = {"db.system.name": "postgresql", "db.query.text": query.strip()}
        with asking(name, "postgresql", facts):
            return await super().execute(commented(query, params), params, **options)


Work = Callable[[Connection], Awaitable[Any]]
T = TypeVar("T")

STATEMENT_TIMEOUT = "30s"
ATTEMPTS = 4
# Serialization failure, deadlock, and what a failover looks like: shutdown, starting up, read-only.
WORTH_RETRYING = ("40001", "40P01", "57P01", "57P02", "57P03", "25006")

log = logging.getLogger("wayfare.database")


class Database:
    """Each unit of work is one transaction, tried again when connection or primary went away under it."""

    def __init__(self, settings: DatabaseSettings, identity: Identity) -> None:
        self.writes = _Pool("write", "BEGIN", settings, settings.port, identity)
        self.reads = _Pool("read", "BEGIN READ ONLY", settings, settings.read_port, identity)

    async def open(self) -> None:
        await self.writes.open()
        await self.reads.open()

    async def close(self) -> None:
        await self.writes.close()
        await self.reads.close()

    async def fetch(self, query: str, parameters: Any = None) -> list[DictRow]:
        """Rows from a replica, which may be a moment behind."""

        async def work(connection: Connection) -> list[DictRow]:
            return await (await connection.execute(query, parameters)).fetchall()

        return await self.reads.run(work)


class _Pool:
    def __init__(
        self, name: str, begin: str, settings: DatabaseSettings, port: int, identity: Identity
    ) -> None:
        self.name = name
        # PgBouncer gives each transaction any server connection, so a session's SET would reach strangers.
        self._begin = f"{begin}; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            connection_class=Connection,
            kwargs=_connection(settings, port, identity),
            min_size=5,
            max_size=20,
            timeout=5,
            max_waiting=500,
            max_lifetime=1800,
            max_idle=300,
            # Its back-off doubles without end: give up early, the next request or probe starts afresh.
            reconnect_timeout=8,
            open=False,
            name=name,
        )
        for state in ("open", "idle"):
            DATABASE_CONNECTIONS.labels(name, state).set_function(partial(self._connections, state))
        DATABASE_WAITING.labels(name).set_function(lambda: self._pool.get_stats().get("requests_waiting", 0))

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=2)

    async def probe(self) -> None:
        """The server answers and its schema is there: a replica must not serve before the first migration."""

        async def work(connection: Connection) -> None:
            row = await (await connection.execute("SELECT to_regclass('feature_flags') AS found")).fetchone()
            if row is None or row["found"] is None:
                raise UnavailableError("the schema is not there yet: run the migrations")

        await self._attempt(work)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(work)
            except (PoolTimeout, TooManyRequests) as error:
                raise UnavailableError("The database has no connection to spare") from error
            except QueryCanceled as error:
                raise UnavailableError(f"The database did not answer within {STATEMENT_TIMEOUT}") from error
            except Error as error:
                if not _worth_retrying(error):
                    raise
                if attempt == ATTEMPTS:
                    raise UnavailableError("The database is away") from error
                await self._prepare_retry(error, attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._pool.connection() as connection:
            await connection.execute(self._begin)
            try:
                result = await work(connection)
            except BaseException:
                await connection.rollback()
                raise
            await connection.execute("COMMIT")
            return result

    async def _prepare_retry(self, error: Error, attempt: int) -> None:
        reason = error.sqlstate or "connection"
        DATABASE_RETRIES.labels(self.name, reason).inc()
        log.info("database retry", extra={"pool_name": self.name, "reason": reason, "attempt": attempt})
        # Longer each time, and not in step with other replicas.
        await asyncio.sleep(random.uniform(0.5, 1) * 0.1 * 2**attempt)
        if not error.sqlstate:
            # Its siblings most likely died with it; have the pool replace them all, not one by one.
            await self._pool.check()

    def _connections(self, state: str) -> int:
        return self._pool.get_stats().get("pool_size" if state == "open" else "pool_available", 0)


def _connection(settings: DatabaseSettings, port: int, identity: Identity) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": port,
        "dbname": settings.name,
        "user": settings.user,
        "password": settings.password,
        "sslmode": "verify-full",
        "sslrootcert": settings.ca_file,
        "sslcertmode": "disable",
        "gssencmode": "disable",
        # In a database of encoding SQL_ASCII, psycopg would return text as bytes.
        "client_encoding": "UTF8",
        "application_name": identity.replica,
        "connect_timeout": 3,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 35_000,
        "autocommit": True,
        "prepare_threshold": None,
        "row_factory": dict_row,
    }


def _worth_retrying(error: Error) -> bool:
    if error.sqlstate is None:
        return isinstance(error, OperationalError)
    return error.sqlstate in WORTH_RETRYING or error.sqlstate.startswith("08")
