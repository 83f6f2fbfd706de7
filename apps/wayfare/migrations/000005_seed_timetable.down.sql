-- Bookings stand on journeys; taking the timetable away takes them as well.
DELETE FROM bookings;
DELETE FROM journeys;
DELETE FROM lines;
DELETE FROM places;
