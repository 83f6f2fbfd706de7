"""Booking seats: once for each idempotency key, never more than there are."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from .database import Connection, Database
from .errors import RefusedError
from .log import REQUEST_ID
from .query import BookingRequest, public_name
from .search import COLUMNS, describe

MOST_LISTED = 20
MOST_OF_ONE = 500

_INSERT = """
    INSERT INTO bookings (id, reference, journey_id, session_id, idempotency_key, fingerprint,
                          passenger, seats, price_cents, currency)
    SELECT %(id)s, %(reference)s, id, %(session)s, %(key)s, %(fingerprint)s,
           %(passenger)s, %(seats)s, price_cents * %(seats)s, currency
    FROM journeys WHERE id = %(journey)s AND departs_at > now()
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id
"""
_TAKE_SEATS = (
    "UPDATE journeys SET seats_left = seats_left - %s WHERE id = %s AND seats_left >= %s RETURNING seats_left"
)
_AUDIT = """
    INSERT INTO audit_log (actor, action, subject_type, subject_id, request_id, detail)
    VALUES (%s, 'booking.created', 'booking', %s, %s, %s)
"""
_BOOKING = f"""
    SELECT bookings.id AS booking_id, bookings.reference, bookings.session_id, bookings.fingerprint,
           bookings.idempotency_key,
           bookings.passenger,
           bookings.seats, bookings.price_cents AS paid_cents, bookings.created_at, {COLUMNS}
    FROM bookings JOIN journeys ON journeys.id = bookings.journey_id
"""


@dataclass(frozen=True)
class Booked:
    """`row` holds the booking and its journey; `created` is false when its key had been used before."""

    row: dict[str, Any]
    created: bool


async def book(request: BookingRequest, session: str, database: Database) -> Booked:
    identifier = uuid.uuid4()

    async def work(connection: Connection) -> Booked:
        # The key first: whoever comes second with it waits here, until the first has committed or given up.
        created = await _insert(connection, request, identifier, session)
        if created:
            await _take_seats(connection, request)
            detail = {"journey": str(request.journey), "seats": request.seats}
            await connection.execute(_AUDIT, (session, identifier, REQUEST_ID.get(), Jsonb(detail)))
        cursor = await connection.execute(
            f"{_BOOKING} WHERE idempotency_key = %s", (request.idempotency_key,)
        )
        row = await cursor.fetchone()
        if row is None:
            raise RefusedError(
                404, "no_such_journey", "This journey does not exist or has left; search again"
            )
        if row["fingerprint"] != request.fingerprint:
            raise RefusedError(
                422, "key_used", "This Idempotency-Key was used for another booking; make a new one"
            )
        # When the connection was lost after COMMIT, a second attempt finds what the first created.
        return Booked(row, created or row["booking_id"] == identifier)

    return await database.writes.run(work)


async def latest(database: Database) -> list[dict[str, Any]]:
    return await database.fetch(f"{_BOOKING} ORDER BY bookings.created_at DESC LIMIT {MOST_LISTED}")


async def of_session(session: str, after: uuid.UUID | None, database: Database) -> list[dict[str, Any]]:
    """A visitor's own bookings by id, `MOST_OF_ONE` at a time, from the primary.

    Who has just booked must find it, and a replica may be a moment behind.
    """

    async def work(connection: Connection) -> list[dict[str, Any]]:
        cursor = await connection.execute(
            f"{_BOOKING} WHERE session_id = %s AND bookings.id > %s ORDER BY bookings.id LIMIT {MOST_OF_ONE}",
            (uuid.UUID(session), after or uuid.UUID(int=0)),
        )
        return await cursor.fetchall()

    return await database.writes.run(work)


def describe_own(row: dict[str, Any]) -> dict[str, Any]:
    """A booking as whoever made it may see it."""
    own = {"passenger": row["passenger"], "idempotency_key": row["idempotency_key"]}
    return {**describe_booking(row, row["session_id"].hex), **own}


def describe_booking(row: dict[str, Any], session: str | None) -> dict[str, Any]:
    """A booking as others may see it, and whether it is the reader's own."""
    journey = describe(row)
    return {
        "id": str(row["booking_id"]),
        "reference": row["reference"],
        "passenger": public_name(row["passenger"]),
        "seats": row["seats"],
        "price_cents": row["paid_cents"],
        "created_at": row["created_at"].isoformat(),
        "mine": session is not None and row["session_id"].hex == session,
        "journey": {
            name: journey[name]
            for name in ("id", "origin", "destination", "departs_at", "mode", "currency", "seats_left")
        },
    }


async def _insert(
    connection: Connection, request: BookingRequest, identifier: uuid.UUID, session: str
) -> bool:
    cursor = await connection.execute(
        _INSERT,
        {
            "id": identifier,
            "reference": base64.b32encode(identifier.bytes)[:8].decode(),
            "journey": request.journey,
            "session": uuid.UUID(session),
            "key": request.idempotency_key,
            "fingerprint": request.fingerprint,
            "passenger": request.passenger,
            "seats": request.seats,
        },
    )
    return await cursor.fetchone() is not None


async def _take_seats(connection: Connection, request: BookingRequest) -> None:
    cursor = await connection.execute(_TAKE_SEATS, (request.seats, request.journey, request.seats))
    if await cursor.fetchone() is None:
        raise RefusedError(409, "sold_out", f"There are no {request.seats} seats left on this journey")
