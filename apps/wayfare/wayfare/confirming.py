"""Confirm bookings: one entry in the audit log for each, written once, however many confirm."""

from __future__ import annotations

from .database import Connection, Database

MOST_AT_ONCE = 100

_ALONE = "SELECT pg_try_advisory_xact_lock(hashtext('confirmations')) AS alone"
# A statement of its own after the lock: it must see what the one who held it before has written.
_CONFIRM = """
    INSERT INTO audit_log (actor, action, subject_type, subject_id, detail)
    SELECT 'confirmations', 'booking.confirmed', 'booking', id, jsonb_build_object('reference', reference)
    FROM bookings
    WHERE created_at > now() - interval '1 day' AND NOT EXISTS (
        SELECT FROM audit_log
        WHERE subject_type = 'booking' AND subject_id = bookings.id AND action = 'booking.confirmed'
    )
    ORDER BY created_at
    LIMIT %s
    RETURNING subject_id
"""


async def confirm(database: Database) -> list[str]:
    """Bookings confirmed now, by id; none where somebody else is at it."""

    async def work(connection: Connection) -> list[str]:
        row = await (await connection.execute(_ALONE)).fetchone()
        if not row or not row["alone"]:
            return []
        cursor = await connection.execute(_CONFIRM, (MOST_AT_ONCE,))
        return [str(found["subject_id"]) for found in await cursor.fetchall()]

    return await database.writes.run(work)
