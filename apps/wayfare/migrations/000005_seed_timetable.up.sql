-- Eleven places, a day train, an evening coach or a night train between any two of them, and three weeks of journeys.
INSERT INTO places (name, country, latitude, longitude) VALUES
    ('Amsterdam', 'Netherlands', 52.379, 4.900),
    ('Berlin', 'Germany', 52.525, 13.369),
    ('Brussels', 'Belgium', 50.836, 4.336),
    ('Copenhagen', 'Denmark', 55.673, 12.565),
    ('Hamburg', 'Germany', 53.553, 10.007),
    ('Milan', 'Italy', 45.486, 9.204),
    ('Munich', 'Germany', 48.140, 11.558),
    ('Paris', 'France', 48.881, 2.355),
    ('Prague', 'Czechia', 50.083, 14.435),
    ('Vienna', 'Austria', 48.185, 16.376),
    ('Zürich', 'Switzerland', 47.378, 8.540);

WITH pairs AS (
    SELECT a.name AS origin, b.name AS destination,
           -- Kilometres as the crow flies, times the detour a track makes.
           1.25 * 6371 * acos(least(1.0, sin(radians(a.latitude)) * sin(radians(b.latitude))
               + cos(radians(a.latitude)) * cos(radians(b.latitude)) * cos(radians(a.longitude - b.longitude)))) AS km,
           ('x' || left(md5(a.name || b.name), 7))::bit(28)::integer AS chance,
           (SELECT p.name FROM places AS p WHERE p.name NOT IN (a.name, b.name)
            ORDER BY (p.latitude - (a.latitude + b.latitude) / 2) ^ 2
                   + ((p.longitude - (a.longitude + b.longitude) / 2) * 0.65) ^ 2 LIMIT 1) AS via
    FROM places AS a JOIN places AS b ON a.name <> b.name
), offers AS (
    SELECT pairs.*, 'train' AS mode, time '06:00' + make_interval(mins => chance % 40 * 15) AS departs,
           35 + km / 2.6 AS minutes, 1900 + km * 8 AS price, 280 + chance % 9 * 20 AS seats,
           (ARRAY['Meridian Rail', 'Nordlicht', 'Alpen Express', 'Transversale'])[1 + chance % 4] AS operator,
           ARRAY['wifi', 'power sockets', 'bistro'] AS amenities, 0.007 AS co2
    FROM pairs
    UNION ALL
    SELECT pairs.*, CASE WHEN km > 650 THEN 'night train' ELSE 'coach' END,
           time '17:00' + make_interval(mins => chance % 23 * 15),
           CASE WHEN km > 650 THEN 60 + km / 1.7 ELSE 20 + km / 1.4 END,
           CASE WHEN km > 650 THEN 3900 + km * 7 ELSE 900 + km * 4 END,
           CASE WHEN km > 650 THEN 90 + chance % 6 * 12 ELSE 44 + chance % 3 * 4 END,
           CASE WHEN km > 650 THEN 'Luna Sleepers' ELSE 'Roadrunner' END,
           CASE WHEN km > 650 THEN ARRAY['sleeper', 'breakfast', 'bicycle'] ELSE ARRAY['wifi', 'reclining seats'] END,
           CASE WHEN km > 650 THEN 0.009 ELSE 0.028 END
    FROM pairs
)
INSERT INTO lines (origin, destination, operator, mode, departs, minutes, price_cents, seats, details)
SELECT origin, destination, operator, mode, departs, (minutes / 5)::integer * 5, (price / 100)::integer * 100, seats,
       jsonb_build_object('amenities', to_jsonb(amenities), 'via', jsonb_build_array(via),
                          'km', km::integer, 'co2_kg', round((km * co2)::numeric, 1))
FROM offers;

SELECT extend_timetable(current_date + 21);
