CREATE TABLE bookings (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    reference       text NOT NULL,
    journey_id      uuid NOT NULL REFERENCES journeys (id),
    session_id      uuid NOT NULL,
    idempotency_key text NOT NULL UNIQUE,
    fingerprint     text NOT NULL,
    passenger       text NOT NULL CHECK (passenger <> ''),
    seats           smallint NOT NULL CHECK (seats BETWEEN 1 AND 9),
    price_cents     integer NOT NULL CHECK (price_cents > 0),
    currency        char(3) NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX bookings_created_at ON bookings (created_at DESC);
CREATE INDEX bookings_journey ON bookings (journey_id);
