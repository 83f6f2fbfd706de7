-- The books need what was sold: a booking stays, and is nobody's.
-- The audit log is append-only by law and design; it holds a session's number, which names nobody once this is done.
UPDATE bookings
SET passenger = 'erased', session_id = gen_random_uuid(), idempotency_key = gen_random_uuid()::text, fingerprint = ''
WHERE session_id::text = current_setting('slipway.subject');
