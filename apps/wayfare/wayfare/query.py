"""What callers may ask, checked before anything is asked of the database."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

from .errors import RefusedError

MOST_SEATS = 9
_KEY = re.compile(r"[A-Za-z0-9._:-]{8,128}")


@dataclass(frozen=True)
class SearchQuery:
    """`origin` and `destination`: beginnings of names; `text` is sought in all that is said of a journey."""

    origin: str
    destination: str
    day: date
    text: str = ""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> SearchQuery:
        return cls(
            origin=_place(parameters, "from"),
            destination=_place(parameters, "to"),
            day=_day(parameters.get("date", "")),
            text=_short(parameters.get("q", ""), "q", 100),
        )

    @property
    def cache_key(self) -> str:
        values = asdict(self) | {"day": self.day.isoformat()}
        folded = {name: value.casefold() for name, value in values.items()}
        return hashlib.sha256(json.dumps(folded, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class BookingRequest:
    journey: uuid.UUID
    seats: int
    passenger: str
    idempotency_key: str

    @classmethod
    def parse(cls, body: Mapping[str, object], idempotency_key: str | None) -> BookingRequest:
        unknown = body.keys() - {"journey_id", "seats", "passenger"}
        if unknown:
            raise RefusedError(
                400, "unknown_field", f"Send journey_id, seats and passenger only, not {sorted(unknown)[0]!r}"
            )
        if not idempotency_key or not _KEY.fullmatch(idempotency_key):
            raise RefusedError(
                400,
                "no_idempotency_key",
                "Send a header Idempotency-Key of 8 to 128 letters, digits or . _ : -",
            )
        seats = body.get("seats", 1)
        if not isinstance(seats, int) or isinstance(seats, bool) or not 1 <= seats <= MOST_SEATS:
            raise RefusedError(400, "bad_seats", f"seats must be a whole number from 1 to {MOST_SEATS}")
        passenger = body.get("passenger")
        if not isinstance(passenger, str) or not _short(passenger, "passenger", 80):
            raise RefusedError(400, "bad_passenger", "passenger must be a name of 1 to 80 characters")
        return cls(
            journey_id(body.get("journey_id")), seats, _short(passenger, "passenger", 80), idempotency_key
        )

    @property
    def fingerprint(self) -> str:
        """What must be the same when an idempotency key comes again."""
        content = json.dumps([str(self.journey), self.seats, self.passenger])
        return hashlib.sha256(content.encode()).hexdigest()


def journey_id(value: object) -> uuid.UUID:
    try:
        return uuid.UUID(str(value))
    except ValueError as problem:
        raise RefusedError(400, "bad_journey", "A journey's id is a UUID") from problem


def own_after(value: str) -> uuid.UUID | None:
    """Where a visitor's list of own bookings goes on: the id that the page before named as `next`."""
    if not value:
        return None
    try:
        return uuid.UUID(value)
    except ValueError as problem:
        raise RefusedError(400, "bad_after", "after is what the page before named as `next`") from problem


def whole_number(parameters: Mapping[str, str], name: str, least: int, most: int) -> int:
    value = parameters.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 12 and least <= int(value) <= most):
        raise RefusedError(400, f"bad_{name}", f"{name} must be a whole number from {least} to {most}")
    return int(value)


def public_name(passenger: str) -> str:
    """What other visitors see of a passenger: 'Ada Lovelace' -> 'Ada L.'"""
    first, *others = passenger.split()
    return f"{first} {others[-1][0]}." if others else first


def _place(parameters: Mapping[str, str], name: str) -> str:
    return _short(parameters.get(name, ""), name, 60)


def _short(value: str, name: str, most: int) -> str:
    value = " ".join(value.split())
    if len(value) > most or not value.isprintable():
        raise RefusedError(400, f"bad_{name}", f"{name} must be printable and at most {most} characters long")
    return value


def _day(value: str) -> date:
    if not value:
        return datetime.now(UTC).date()
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise RefusedError(400, "bad_date", "date must be written like 2030-12-31")
    try:
        return date.fromisoformat(value)
    except ValueError as problem:
        raise RefusedError(400, "bad_date", "date names a day that does not exist") from problem
