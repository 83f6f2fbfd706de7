"""Searching and booking, as browsers and gRPC clients do it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from wayfare_engine import until
from wayfare_socket import WebSocket
from wayfare_stack import Response, Stack

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


def journeys(wayfare: Stack, query: str = "", **headers: str) -> list[dict]:
    return wayfare.ask("api", f"/api/journeys?date={TOMORROW}{query}", headers=headers).json["journeys"]


def book(wayfare: Stack, journey: str, key: str = "", seats: int = 1, **headers: str) -> Response:
    body = {"journey_id": journey, "seats": seats, "passenger": "Ada Lovelace"}
    return wayfare.ask("api", "/api/bookings", body, headers | {"Idempotency-Key": key or uuid.uuid4().hex})


def seats_left(wayfare: Stack, journey: str) -> int:
    return wayfare.ask("api", f"/api/journeys/{journey}").json["journey"]["seats_left"]


def test_a_search_finds_real_journeys_by_beginnings_of_names(wayfare: Stack) -> None:
    found = journeys(wayfare, "&from=ber&to=PAR")
    assert found
    assert {(each["origin"], each["destination"]) for each in found} == {("Berlin", "Paris")}
    assert [each["departs_at"] for each in found] == sorted(each["departs_at"] for each in found)


def test_full_text_search_reads_the_details(wayfare: Stack) -> None:
    assert {each["mode"] for each in journeys(wayfare, "&q=sleeper")} == {"night train"}


def test_searches_go_by_grpc_and_the_second_is_cached(wayfare: Stack) -> None:
    first, second = (
        wayfare.ask("api", f"/api/journeys?date={TOMORROW}&from=vienna&q=wifi").json for _ in range(2)
    )
    assert (first["source"], first["cached"]) == ("journeys", False)
    assert (second["source"], second["cached"]) == ("journeys", True)
    assert first["journeys"] == second["journeys"]


def test_a_booking_appears_in_two_browsers(wayfare: Stack) -> None:
    browsers = [WebSocket(wayfare.address("updates")) for _ in range(2)]
    for browser in browsers:
        assert browser.receive("hello")["service"] == "updates"
    journey = journeys(wayfare)[0]["id"]
    left = seats_left(wayfare, journey)
    booking = book(wayfare, journey, seats=2).json["booking"]
    for browser in browsers:
        message = browser.receive("booking")
        assert message["booking"]["id"] == booking["id"]
        assert message["booking"]["passenger"] == "Ada L."
        assert message["booking"]["mine"] is False
        assert message["journey"]["seats_left"] == left - 2
        browser.close()


def test_a_booking_makes_cached_searches_stale(wayfare: Stack) -> None:
    before = journeys(wayfare, "&from=z%C3%BCrich")[0]
    book(wayfare, before["id"], seats=3)
    after = journeys(wayfare, "&from=z%C3%BCrich")[0]
    assert after["seats_left"] == before["seats_left"] - 3


def test_the_same_key_books_once_even_at_the_same_time(wayfare: Stack) -> None:
    journey = journeys(wayfare)[1]["id"]
    left, key = seats_left(wayfare, journey), uuid.uuid4().hex
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: book(wayfare, journey, key), range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["booking"]["id"] for answer in answers}) == 1
    assert seats_left(wayfare, journey) == left - 1


def test_a_visitor_finds_every_booking_of_their_own_and_nobody_elses(wayfare: Stack) -> None:
    journey = journeys(wayfare)[2]["id"]
    first = book(wayfare, journey, key := uuid.uuid4().hex)
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    second = book(wayfare, journey, Cookie=cookie)
    book(wayfare, journey)
    told = wayfare.ask("api", "/api/bookings?mine", headers={"Cookie": cookie}).json
    made = {answer.json["booking"]["id"]: answer for answer in (first, second)}
    assert {each["id"] for each in told["bookings"]} == made.keys()
    assert {each["passenger"] for each in told["bookings"]} == {"Ada Lovelace"}
    assert key in {each["idempotency_key"] for each in told["bookings"]}
    assert told["next"] is None
    last = max(made)
    rest = wayfare.ask("api", f"/api/bookings?mine&after={last}", headers={"Cookie": cookie}).json
    assert rest["bookings"] == []


def test_without_a_session_no_booking_is_ones_own(wayfare: Stack) -> None:
    refused = wayfare.ask("api", "/api/bookings?mine")
    assert (refused.status, refused.json["error"]["code"]) == (401, "no_session")


def test_a_key_is_not_for_two_different_bookings(wayfare: Stack) -> None:
    first, second = journeys(wayfare)[:2]
    key = uuid.uuid4().hex
    assert book(wayfare, first["id"], key).status == 201
    refused = book(wayfare, second["id"], key)
    assert (refused.status, refused.json["error"]["code"]) == (422, "key_used")


def test_no_seat_is_sold_twice(wayfare: Stack) -> None:
    journey = journeys(wayfare, "&from=milan")[0]["id"]
    wayfare.sql(f"UPDATE journeys SET seats_left = 5 WHERE id = '{journey}'")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: book(wayfare, journey).status, range(10)))
    assert sorted(answers) == [201] * 5 + [409] * 5
    assert wayfare.sql(f"SELECT seats_left FROM journeys WHERE id = '{journey}'") == "0"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param({}, {}, 400, "no_idempotency_key", id="no-key"),
        pytest.param({"seats": 0}, {"Idempotency-Key": "k" * 8}, 400, "bad_seats", id="no-seats"),
        pytest.param(
            {"seats": 1, "passenger": " "}, {"Idempotency-Key": "k" * 8}, 400, "bad_passenger", id="no-name"
        ),
        pytest.param({"sets": 1}, {"Idempotency-Key": "k" * 8}, 400, "unknown_field", id="typo"),
        pytest.param(b"{", {}, 400, "not_json", id="broken-json"),
        pytest.param(
            b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "not_json", id="a-form"
        ),
        pytest.param(
            {"journey_id": str(uuid.UUID(int=0)), "passenger": "A"},
            {"Idempotency-Key": "k" * 8},
            404,
            "no_such_journey",
            id="unknown-journey",
        ),
    ],
)
def test_what_cannot_be_booked_is_refused(
    wayfare: Stack, body: object, headers: dict, status: int, code: str
) -> None:
    answer = wayfare.ask("api", "/api/bookings", body, headers)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_a_visitor_who_searches_and_books_is_a_conversion(wayfare: Stack) -> None:
    before = wayfare.metric("api", "wayfare_conversions_total")
    me = wayfare.ask("api", "/api/me")
    cookie = me.headers["Set-Cookie"].split(";")[0]
    journey = journeys(wayfare, Cookie=cookie)[2]["id"]
    booking = book(wayfare, journey, Cookie=cookie).json["booking"]
    assert wayfare.metric("api", "wayfare_conversions_total") == before + 1
    listed = wayfare.ask("api", "/api/bookings", headers={"Cookie": cookie}).json["bookings"]
    assert next(each for each in listed if each["id"] == booking["id"])["mine"] is True
    forged = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    assert wayfare.ask("api", "/api/me", headers={"Cookie": forged}).json["new"] is True


def test_the_correlation_id_goes_from_the_caller_to_grpc_the_audit_log_and_back(wayfare: Stack) -> None:
    identifier = f"test-{uuid.uuid4()}"
    answer = wayfare.ask("api", f"/api/journeys?date={TOMORROW}", headers={"X-Request-ID": identifier})
    assert answer.headers["X-Request-ID"] == identifier
    assert answer.headers["X-Slipway-Replica"] == "api-blue-1"
    assert answer.headers["X-Wayfare-Version"] == wayfare.ask("api", "/api/me").json["version"]
    for replica in ("api", "journeys"):
        assert [
            line
            for line in wayfare.logs(replica).splitlines()
            if json.loads(line).get("request_id") == identifier
        ]
    book(wayfare, answer.json["journeys"][0]["id"], **{"X-Request-ID": identifier})
    assert wayfare.sql(f"SELECT action FROM audit_log WHERE request_id = '{identifier}'") == "booking.created"


def test_an_id_that_would_break_a_log_line_is_not_adopted(wayfare: Stack) -> None:
    answer = wayfare.ask("api", "/api/flags", headers={"X-Request-ID": 'a"b c'})
    assert answer.headers["X-Request-ID"] != 'a"b c'
    assert answer.json["flags"]["seat_countdown"] == 8


def test_watch_tells_the_present_state_and_each_change(wayfare: Stack) -> None:
    journey = journeys(wayfare, "&from=prague")[0]["id"]
    left = seats_left(wayfare, journey)
    booking = threading.Thread(target=book_when_watched, args=(wayfare, journey))
    booking.start()
    script = f"""
seats = Calls("journeys:9090").watch(journeys_pb2.WatchRequest(journey_ids=["{journey}"]), timeout=30)
print(next(seats).seats_left, next(seats).seats_left)
"""
    told = wayfare.grpc(script)
    booking.join()
    assert told == f"{left} {left - 2}"


def book_when_watched(wayfare: Stack, journey: str) -> None:
    until(lambda: wayfare.metric("journeys", "wayfare_rpc_requests_in_flight") == 1, 20, "the watch")
    # The call counts from its beginning; it reads the present state a moment later.
    time.sleep(1)
    book(wayfare, journey, seats=2)


def test_grpc_health_and_refusals(wayfare: Stack) -> None:
    script = """
calls = Calls("journeys:9090")
print([calls.check(health_pb2.HealthCheckRequest(service=name), timeout=5).status for name in ("", JOURNEYS)])
for call, request in (
    (calls.check, health_pb2.HealthCheckRequest(service="other")),
    (calls.search, journeys_pb2.SearchRequest(day="2030-02-31")),
):
    try:
        call(request, timeout=5)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
"""
    assert wayfare.grpc(script).splitlines() == [
        "[1, 1]",
        "NOT_FOUND Ask for 'wayfare.Journeys' or ''",
        "INVALID_ARGUMENT date names a day that does not exist",
    ]


def test_uploads_and_downloads_are_complete(wayfare: Stack) -> None:
    download = wayfare.ask("api", "/api/download?bytes=5000001")
    assert len(download.body) == 5000001
    assert hashlib.sha256(download.body).hexdigest() == download.headers["X-Content-SHA256"]
    echo = wayfare.ask("api", "/api/echo", download.body).json
    assert echo == {"size": 5000001, "sha256": download.headers["X-Content-SHA256"]}
    assert wayfare.ask("api", "/api/download?bytes=100000001").status == 400


def test_migrations_go_down_and_up_again(wayfare: Stack) -> None:
    wayfare.migrate("down")
    assert wayfare.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == "0"
    wayfare.migrate("up")
    assert int(wayfare.sql("SELECT count(*) FROM journeys")) > 2000
    assert (
        wayfare.sql("SELECT extend_timetable(current_date + 21), extend_timetable(current_date + 22)")
        == "0|220"
    )


def test_the_audit_log_cannot_be_rewritten(wayfare: Stack) -> None:
    with pytest.raises(AssertionError, match="append-only"):
        wayfare.sql("DELETE FROM audit_log")
