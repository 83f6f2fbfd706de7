"""What listens on no port: the worker that confirms bookings, and the job that extends the timetable."""

from __future__ import annotations

from test_booking import book, journeys
from wayfare_engine import docker, until
from wayfare_stack import Stack

CONFIRMED = "SELECT count(*), count(DISTINCT subject_id) FROM audit_log WHERE action = 'booking.confirmed'"


def healthy(wayfare: Stack, alias: str) -> bool:
    """As the lab's stack asks."""
    fresh = 'test -z "$(find /tmp/ready -newermt "-20 seconds" 2>/dev/null)" || echo yes'
    return docker("exec", wayfare.container(alias), "sh", "-c", fresh).strip() == "yes"


def test_two_workers_confirm_each_booking_once(wayfare: Stack) -> None:
    booked = int(wayfare.sql("SELECT count(*) FROM bookings WHERE created_at > now() - interval '1 day'"))
    with wayfare.replica("confirmations") as one, wayfare.replica("confirmations") as other:
        until(lambda: healthy(wayfare, one) and healthy(wayfare, other), 30, "both to be well")
        journey = journeys(wayfare)[-1]["id"]
        for _ in range(5):
            book(wayfare, journey)
        until(lambda: int(wayfare.sql(CONFIRMED).split("|")[0]) >= booked + 5, 20, "all to be confirmed")
        assert wayfare.sql(CONFIRMED) == f"{booked + 5}|{booked + 5}"


def test_a_worker_that_is_told_to_stop_ends_well(wayfare: Stack) -> None:
    with wayfare.replica("confirmations") as alias:
        until(lambda: healthy(wayfare, alias), 30, "it to be well")
        docker("stop", "--time=10", wayfare.container(alias))
        assert wayfare.exit_code(alias) == 0
        assert '"stopped"' in wayfare.logs(alias)


def test_the_timetable_is_extended_by_a_job_that_ends(wayfare: Stack) -> None:
    with wayfare.replica("timetable") as alias:
        assert wayfare.exit_code(alias) == 0
        assert '"timetable extended"' in wayfare.logs(alias)


def test_a_job_without_its_database_says_so_and_fails(wayfare: Stack) -> None:
    with wayfare.replica("timetable", DATABASE_HOST="nowhere") as alias:
        assert wayfare.exit_code(alias, seconds=60) == 1
        assert "the timetable was not extended" in wayfare.logs(alias)
