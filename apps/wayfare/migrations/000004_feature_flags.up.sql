CREATE TABLE feature_flags (
    key         text PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_]*$'),
    description text NOT NULL,
    enabled     boolean NOT NULL DEFAULT false,
    percentage  smallint NOT NULL DEFAULT 100 CHECK (percentage BETWEEN 0 AND 100),
    value       jsonb NOT NULL DEFAULT 'true',
    updated_at  timestamptz NOT NULL DEFAULT now()
);

INSERT INTO feature_flags (key, description, enabled, percentage, value) VALUES
    ('seat_countdown', 'Warn when at most this many seats are left', true, 100, '8'),
    ('show_emissions', 'Show the CO2 emissions of each journey', true, 100, 'true'),
    ('announcement', 'A sentence above the results', false, 100, '"Travel on Sundays for half the price."');
