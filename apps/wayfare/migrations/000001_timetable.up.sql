-- Places, the lines between them, and the journeys that run on each line, day by day.
CREATE TABLE places (
    name      text PRIMARY KEY,
    country   text NOT NULL,
    latitude  double precision NOT NULL,
    longitude double precision NOT NULL
);

CREATE TABLE lines (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    origin      text NOT NULL REFERENCES places (name),
    destination text NOT NULL REFERENCES places (name),
    operator    text NOT NULL,
    mode        text NOT NULL CHECK (mode IN ('train', 'night train', 'coach')),
    departs     time NOT NULL,
    minutes     integer NOT NULL CHECK (minutes > 0),
    price_cents integer NOT NULL CHECK (price_cents > 0),
    seats       integer NOT NULL CHECK (seats > 0),
    details     jsonb NOT NULL DEFAULT '{}',
    UNIQUE (origin, destination, departs),
    CHECK (origin <> destination)
);

CREATE TABLE journeys (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    line_id     uuid NOT NULL REFERENCES lines (id),
    origin      text NOT NULL,
    destination text NOT NULL,
    departs_at  timestamptz NOT NULL,
    arrives_at  timestamptz NOT NULL,
    operator    text NOT NULL,
    mode        text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents > 0),
    currency    char(3) NOT NULL DEFAULT 'EUR',
    seats_total integer NOT NULL CHECK (seats_total > 0),
    seats_left  integer NOT NULL CHECK (seats_left BETWEEN 0 AND seats_total),
    details     jsonb NOT NULL DEFAULT '{}',
    search      tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', origin || ' ' || destination), 'A')
        || setweight(to_tsvector('simple', operator || ' ' || mode), 'B')
        || setweight(jsonb_to_tsvector('simple', details, '["string"]'), 'C')
    ) STORED,
    UNIQUE (line_id, departs_at),
    CHECK (arrives_at > departs_at)
);

CREATE INDEX journeys_departs_at ON journeys (departs_at);
CREATE INDEX journeys_route ON journeys (lower(origin) text_pattern_ops, lower(destination) text_pattern_ops, departs_at);
CREATE INDEX journeys_search ON journeys USING gin (search);

-- Adds what is missing up to a day; prices and seats vary from day to day, but the same way wherever this runs.
CREATE FUNCTION extend_timetable(until date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    added integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('extend_timetable')) THEN
        RETURN 0;
    END IF;
    INSERT INTO journeys (line_id, origin, destination, departs_at, arrives_at, operator, mode,
                          price_cents, seats_total, seats_left, details)
    SELECT line.id, line.origin, line.destination, leaves.at, leaves.at + make_interval(mins => line.minutes),
           line.operator, line.mode, (line.price_cents * (80 + chance.number % 60) / 100 / 10) * 10,
           line.seats, line.seats, line.details
    FROM generate_series(current_date, until, interval '1 day') AS day
    CROSS JOIN lines AS line
    CROSS JOIN LATERAL (SELECT (day::date + line.departs) AT TIME ZONE 'UTC' AS at) AS leaves
    CROSS JOIN LATERAL (
        SELECT ('x' || left(md5(line.origin || line.destination || line.departs || day::date), 7))::bit(28)::integer AS number
    ) AS chance
    ON CONFLICT (line_id, departs_at) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
