from __future__ import annotations

import uuid
from datetime import UTC, date, datetime

import pytest
from wayfare.errors import RefusedError
from wayfare.query import BookingRequest, SearchQuery, own_after, public_name, whole_number
from wayfare.search import statement

JOURNEY = str(uuid.UUID(int=1))
KEY = "a-key-of-mine"


def test_a_search_without_a_day_is_for_today() -> None:
    before = datetime.now(UTC).date()
    assert before <= SearchQuery.parse({}).day <= datetime.now(UTC).date()


def test_spaces_and_case_do_not_make_another_search() -> None:
    first = SearchQuery.parse({"from": " Berlin ", "date": "2030-01-02"})
    second = SearchQuery.parse({"from": "berlin", "date": "2030-01-02"})
    assert first.cache_key == second.cache_key
    assert first.cache_key != SearchQuery.parse({"to": "berlin", "date": "2030-01-02"}).cache_key


@pytest.mark.parametrize(
    "parameters",
    [{"date": "2030-02-31"}, {"date": "tomorrow"}, {"date": "20300101"}, {"from": "x" * 61}, {"to": "a\0b"}],
)
def test_a_senseless_search_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as refused:
        SearchQuery.parse(parameters)
    assert refused.value.status == 400


def test_wildcards_in_a_place_are_searched_literally() -> None:
    text, parameters = statement(SearchQuery("50%_\\", "", date(2030, 1, 2)))
    assert "lower(origin) LIKE %(origin)s" in text
    assert "destination) LIKE" not in text
    assert parameters["origin"] == r"50\%\_\\" + "%"


def test_own_bookings_go_on_after_an_id_or_begin_anew() -> None:
    assert own_after("") is None
    assert own_after(JOURNEY) == uuid.UUID(int=1)
    with pytest.raises(RefusedError) as refused:
        own_after("1 OR true")
    assert (refused.value.status, refused.value.code) == (400, "bad_after")


def booking(**changes: object) -> BookingRequest:
    return BookingRequest.parse(
        {"journey_id": JOURNEY, "seats": 2, "passenger": "Ada  Lovelace"} | changes, KEY
    )


def test_a_booking_is_understood() -> None:
    assert booking() == BookingRequest(uuid.UUID(int=1), 2, "Ada Lovelace", KEY)


def test_what_a_key_stands_for_is_journey_seats_and_passenger() -> None:
    assert booking().fingerprint == booking(passenger="Ada Lovelace").fingerprint
    assert len({booking(**change).fingerprint for change in ({}, {"seats": 3}, {"passenger": "A"})}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"seats": 0},
        {"seats": 10},
        {"seats": True},
        {"seats": "2"},
        {"seats": 1.0},
        {"passenger": ""},
        {"passenger": 1},
    ]
    + [{"passenger": "x" * 81}, {"journey_id": "1"}, {"journey_id": None}, {"extra": 1}],
)
def test_a_senseless_booking_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RefusedError) as refused:
        booking(**changes)
    assert refused.value.status == 400


@pytest.mark.parametrize("key", [None, "", "short", "x" * 129, "with space", "umläuted-key"])
def test_a_booking_needs_a_key(key: str | None) -> None:
    with pytest.raises(RefusedError, match="Idempotency-Key"):
        BookingRequest.parse({"journey_id": JOURNEY, "passenger": "A"}, key)


@pytest.mark.parametrize(
    ("name", "public"), [("Ada Lovelace", "Ada L."), ("Plato", "Plato"), ("A B C", "A C.")]
)
def test_others_see_no_full_name(name: str, public: str) -> None:
    assert public_name(name) == public


@pytest.mark.parametrize("value", ["", "-1", "61", "1.5", "²", "9" * 5000])
def test_numbers_out_of_range_are_refused(value: str) -> None:
    with pytest.raises(RefusedError):
        whole_number({"seconds": value}, "seconds", 0, 60)
