DROP FUNCTION extend_timetable(date);
DROP TABLE journeys;
DROP TABLE lines;
DROP TABLE places;
