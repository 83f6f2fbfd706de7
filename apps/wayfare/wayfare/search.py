"""Finding journeys, straight from the cache and the read replicas."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from .query import SearchQuery

if TYPE_CHECKING:
    from .cache import Cache
    from .database import Database

MOST_RESULTS = 50

COLUMNS = """
    journeys.id, journeys.origin, journeys.destination, journeys.departs_at, journeys.arrives_at,
    journeys.mode, journeys.operator, journeys.price_cents, journeys.currency,
    journeys.seats_total, journeys.seats_left, journeys.details
"""

Journey = dict[str, Any]


async def find(query: SearchQuery, database: Database, cache: Cache) -> tuple[list[Journey], bool]:
    """Journeys that still leave on the day asked for, soonest first, and whether they came from the cache."""
    day = query.day.isoformat()
    kept = await cache.search_result(day, query.cache_key)
    if kept is not None:
        return kept, True
    rows = await database.fetch(*statement(query))
    journeys = [describe(row) for row in rows]
    await cache.keep_search_result(day, query.cache_key, journeys)
    return journeys, False


async def journey(identifier: uuid.UUID, database: Database) -> Journey | None:
    rows = await database.fetch(f"SELECT {COLUMNS} FROM journeys WHERE id = %s", (identifier,))
    return describe(rows[0]) if rows else None


async def places(database: Database) -> list[Journey]:
    return await database.fetch("SELECT name, country FROM places ORDER BY name")


def describe(row: dict[str, Any]) -> Journey:
    """A row as the API, the gRPC service and the cache all write it."""
    departs, arrives = row["departs_at"], row["arrives_at"]
    details = row["details"]
    return {
        "id": str(row["id"]),
        "origin": row["origin"],
        "destination": row["destination"],
        "departs_at": departs.isoformat(),
        "arrives_at": arrives.isoformat(),
        "duration_minutes": int((arrives - departs).total_seconds() // 60),
        "mode": row["mode"],
        "operator": row["operator"],
        "price_cents": row["price_cents"],
        "currency": row["currency"],
        "seats_total": row["seats_total"],
        "seats_left": row["seats_left"],
        "co2_kg": float(details.get("co2_kg", 0)),
        "amenities": list(details.get("amenities", [])),
        "via": list(details.get("via", [])),
    }


def statement(query: SearchQuery) -> tuple[str, dict[str, Any]]:
    conditions = [
        "departs_at >= (%(day)s::date)::timestamp AT TIME ZONE 'UTC'",
        "departs_at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC'",
        "departs_at > now()",
    ]
    parameters: dict[str, Any] = {"day": query.day, "limit": MOST_RESULTS}
    for column, value in (("origin", query.origin), ("destination", query.destination)):
        if value:
            conditions.append(f"lower({column}) LIKE %({column})s")
            parameters[column] = _literal(value.lower()) + "%"
    if query.text:
        conditions.append("search @@ websearch_to_tsquery('simple', %(text)s)")
        parameters["text"] = query.text
    where = " AND ".join(conditions)
    return f"SELECT {COLUMNS} FROM journeys WHERE {where} ORDER BY departs_at, id LIMIT %(limit)s", parameters


def _literal(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
