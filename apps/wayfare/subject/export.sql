-- All that is held of a visitor, by its session: bookings, and what was written down of them.
SELECT json_build_object(
    'bookings', (
        SELECT coalesce(json_agg(json_build_object(
            'reference', booking.reference, 'passenger', booking.passenger, 'seats', booking.seats,
            'price_cents', booking.price_cents, 'currency', booking.currency, 'created_at', booking.created_at,
            'origin', journey.origin, 'destination', journey.destination, 'departs_at', journey.departs_at
        ) ORDER BY booking.created_at), '[]')
        FROM bookings AS booking JOIN journeys AS journey ON journey.id = booking.journey_id
        WHERE booking.session_id::text = current_setting('slipway.subject')),
    'audit_log', (
        SELECT coalesce(json_agg(json_build_object(
            'occurred_at', occurred_at, 'action', action, 'detail', detail) ORDER BY occurred_at), '[]')
        FROM audit_log WHERE actor = current_setting('slipway.subject'))
) AS held
