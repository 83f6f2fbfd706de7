"""The handlers of the JSON API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from . import booking, search, transfers
from .cache import Cache
from .database import Database
from .errors import JourneysAwayError, RefusedError
from .flags import Flags
from .metrics import (
    BOOKED_SEATS,
    BOOKING_VALUE,
    BOOKINGS,
    CONVERSIONS,
    FALLBACKS,
    SEARCH_FALLBACKS,
    SEARCH_SECONDS,
    SEARCHES,
)
from .query import BookingRequest, SearchQuery, journey_id, own_after
from .rpc.client import JourneysClient
from .server import json_body
from .session import COOKIE, LIFETIME, new_session, sign, verify
from .settings import Settings


class Api:
    def __init__(
        self, settings: Settings, database: Database, cache: Cache, journeys: JourneysClient | None
    ) -> None:
        assert settings.session_key
        self._key = settings.session_key
        self._identity = settings.identity
        self._database = database
        self._cache = cache
        self._journeys = journeys
        self._flags = Flags(database)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/journeys", self.search),
            web.get("/api/journeys/{id}", self.journey),
            web.get("/api/places", self.places),
            web.get("/api/bookings", self.bookings),
            web.post("/api/bookings", self.book),
            web.get("/api/me", self.me),
            web.get("/api/flags", self.flags),
            web.get("/api/slow", transfers.slow),
            web.get("/api/download", transfers.download),
            web.post("/api/echo", transfers.echo),
        ]

    async def search(self, request: web.Request) -> web.Response:
        query = SearchQuery.parse(request.query)
        journeys, source, cached = await self._find(query)
        SEARCHES.labels(source).inc()
        session = self._visitor(request)
        if session:
            await self._cache.remember_visit(session)
        return _json({"journeys": journeys, "day": query.day.isoformat(), "source": source, "cached": cached})

    async def _find(self, query: SearchQuery) -> tuple[list[dict[str, Any]], str, bool]:
        """By way of the journeys service where there is one; straight from the database when it is away."""
        if self._journeys:
            try:
                with SEARCH_SECONDS.labels("journeys").time():
                    return _with_source(await self._journeys.find(query), "journeys")
            except JourneysAwayError as away:
                SEARCH_FALLBACKS.labels(away.reason).inc()
                FALLBACKS.labels("journeys").inc()
        with SEARCH_SECONDS.labels("database").time():
            return _with_source(await search.find(query, self._database, self._cache), "database")

    async def journey(self, request: web.Request) -> web.Response:
        found = await search.journey(journey_id(request.match_info["id"]), self._database)
        if found is None:
            raise RefusedError(404, "no_such_journey", "There is no journey with this id")
        return _json({"journey": found})

    async def places(self, request: web.Request) -> web.Response:
        return _json({"places": await search.places(self._database)})

    async def bookings(self, request: web.Request) -> web.Response:
        session = self._visitor(request)
        if "mine" in request.query:
            return await self._own_bookings(request, session)
        rows = await booking.latest(self._database)
        return _json({"bookings": [booking.describe_booking(row, session) for row in rows]})

    async def _own_bookings(self, request: web.Request, session: str | None) -> web.Response:
        if session is None:
            raise RefusedError(401, "no_session", "Send the session's cookie; without it no booking is yours")
        after = own_after(request.query.get("after", ""))
        rows = await booking.of_session(session, after, self._database)
        following = str(rows[-1]["booking_id"]) if len(rows) == booking.MOST_OF_ONE else None
        return _json({"bookings": [booking.describe_own(row) for row in rows], "next": following})

    async def book(self, request: web.Request) -> web.Response:
        wanted = BookingRequest.parse(await json_body(request), request.headers.get("Idempotency-Key"))
        known = self._visitor(request)
        session = known or new_session()
        try:
            booked = await booking.book(wanted, session, self._database)
        except RefusedError as refused:
            BOOKINGS.labels(refused.code).inc()
            raise
        BOOKINGS.labels("created" if booked.created else "replayed").inc()
        if booked.created:
            await self._sold(booked.row, wanted, session)
        described = booking.describe_booking(booked.row, booked.row["session_id"].hex)
        response = _json(
            {"booking": described, "replayed": not booked.created}, 201 if booked.created else 200
        )
        if not known:
            self._remember(request, response, session)
        return response

    async def _sold(self, row: dict[str, Any], wanted: BookingRequest, session: str) -> None:
        BOOKED_SEATS.inc(wanted.seats)
        BOOKING_VALUE.inc(row["paid_cents"] / 100)
        await self._cache.forget_searches(row["departs_at"].date().isoformat())
        public = booking.describe_booking(row, None)
        await self._cache.announce({"type": "booking", "booking": public, "journey": public["journey"]})
        if await self._cache.end_visit(session):
            CONVERSIONS.inc()

    async def me(self, request: web.Request) -> web.Response:
        known = self._visitor(request)
        session = known or new_session()
        response = _json({"session": session[:8], "new": not known, **asdict(self._identity)})
        if not known:
            self._remember(request, response, session)
        return response

    async def flags(self, request: web.Request) -> web.Response:
        return _json({"flags": await self._flags.for_visitor(self._visitor(request) or "")})

    def _visitor(self, request: web.Request) -> str | None:
        return verify(request.cookies.get(COOKIE), self._key)

    def _remember(self, request: web.Request, response: web.Response, session: str) -> None:
        response.set_cookie(
            COOKIE,
            sign(session, self._key),
            max_age=LIFETIME,
            httponly=True,
            samesite="Lax",
            secure=request.headers.get("X-Forwarded-Proto") == "https",
        )


def _with_source(
    found: tuple[list[dict[str, Any]], bool], source: str
) -> tuple[list[dict[str, Any]], str, bool]:
    return found[0], source, found[1]


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})
