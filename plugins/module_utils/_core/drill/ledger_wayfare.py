"""The reference application as a ledger sees it: a write is a booking of one seat."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ..errors import SlipwayError
from .ledger import Row, Write
from .ledger_client import Answer, Client

BOOKINGS = "/api/bookings"
# The timetable reaches three weeks ahead; today's journeys leave while the ledger is being written.
DAYS = range(1, 20)
PLACES = ("Amsterdam", "Berlin", "Brussels", "Copenhagen", "Hamburg", "Milan", "Munich", "Paris", "Prague")


def session(client: Client) -> str:
    """The cookie by which the application will know all writes of this run."""
    answer = _good(client.ask("GET", "/api/me"))
    told = {name.lower(): value for name, value in answer.headers.items()}.get("set-cookie", "")
    if "=" not in told:
        raise SlipwayError("the application gave no session", "Check that the site is wayfare: GET /api/me")
    return told.partition(";")[0]


class Journeys:
    """Journeys with seats, in turn: writers that all want the same row would measure its lock."""

    def __init__(self, seats: dict[str, int]) -> None:
        if not seats:
            raise SlipwayError("no journey has seats left", "Wait for the job `timetable`, or run it")
        self._left = seats
        self._turn = itertools.cycle(tuple(seats))
        self._lock = threading.Lock()

    @classmethod
    def find(cls, client: Client, wanted: int, today: date | None = None) -> Journeys:
        """Enough for `wanted` seats, found before anything fails; fewer where the timetable has no more."""
        seats: dict[str, int] = {}
        for path in _searches(today or datetime.now(UTC).date()):
            found = _good(client.ask("GET", path)).json()["journeys"]
            seats |= {str(it["id"]): int(it["seats_left"]) for it in found if it["seats_left"] > 0}
            if sum(seats.values()) >= wanted:
                break
        return cls(seats)

    def next(self) -> str:
        with self._lock:
            for _ in range(len(self._left)):
                name = next(self._turn)
                if self._left[name] > 0:
                    self._left[name] -= 1
                    return name
        raise SlipwayError("every seat that was found is booked", "Write for a shorter time, or more slowly")

    def sold_out(self, journey: str) -> None:
        with self._lock:
            self._left[journey] = 0


def book(client: Client, write: Write, journey: str) -> Answer:
    """Send a write once. The same write must always name the same journey: its key stands for both."""
    wanted = {"journey_id": journey, "seats": 1, "passenger": write.mark}
    return client.ask("POST", BOOKINGS, wanted, {"Idempotency-Key": write.key})


def row_of(answer: Answer) -> str:
    return str(answer.json()["booking"]["id"])


@dataclass(frozen=True)
class Question:
    """What replicas answer. `key`: where the answer has its list; `least`: entries that it must have."""

    path: str
    key: str
    least: int

    def missing(self, answer: Answer) -> str:
        """Why this is no answer to the question; "" where it is one."""
        if answer.status != 200:
            return answer.code
        try:
            found = answer.json()[self.key]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, list):
            return f"no list of {self.key}"
        return "" if len(found) >= self.least else f"an empty list of {self.key}"


def questions(today: date | None = None) -> list[Question]:
    """The cities, which nobody caches, and searches; none is asked again while it is in the cache."""
    places = Question("/api/places", "places", 1)
    searches = [Question(path, "journeys", 0) for path in _searches(today or datetime.now(UTC).date())]
    return [question for search in searches for question in (places, search)]


def rows(client: Client) -> Iterator[Row]:
    """Every row of this session, from the primary. Not being told is an error, and no absence."""
    after = ""
    while True:
        answer = client.ask("GET", f"{BOOKINGS}?mine{f'&after={after}' if after else ''}")
        if answer.status == 401:
            raise SlipwayError(
                "the application does not know this session any more: nothing can be said of its writes",
                "Was the secret session_key replaced? Ask the database itself: "
                "SELECT passenger, count(*) FROM bookings WHERE passenger LIKE 'Ledger %' GROUP BY 1",
            )
        told: dict[str, Any] = _good(answer).json()
        if "next" not in told:
            raise SlipwayError(
                "the application has no list of one's own bookings", "Deploy a wayfare that has `?mine` first"
            )
        for it in told["bookings"]:
            yield Row(str(it["id"]), str(it["passenger"]), str(it["idempotency_key"]))
        if not told["next"]:
            return
        after = str(told["next"])


def _searches(today: date) -> Iterator[str]:
    for day in DAYS:
        for place in PLACES:
            yield f"/api/journeys?date={(today + timedelta(days=day)).isoformat()}&from={place}"


def _good(answer: Answer) -> Answer:
    if answer.status != 200:
        raise SlipwayError(
            f"the application answers {answer.code}", "Begin a ledger on a site that is well: make health"
        )
    return answer
