"""What a host sends to somebody else's intake after something has gone wrong, and what it tells of that."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.logs import log_export
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.journal_lines import line
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.otlp_intake import Answer
from journal_entries import CONTAINER, LOGIN, entry

SETTINGS = {
    "url": "https://intake.test/v1/logs",
    "headers": {"Authorization": "hidden-key"},
    "encoding": "json",
    "audit": True,
    "host": "h1",
    "stack": "shop",
    "environment": "production",
}


class Stopped:
    """Whether the program is told to stop; waits pass at once, on the bench's clock."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._told = bench, False

    def is_set(self) -> bool:
        return self._told

    def set(self) -> None:
        self._told = True

    def wait(self, seconds: float) -> None:
        self._bench.waited.append(seconds)
        self._bench.now += seconds
        self._bench.meanwhile()


class Bench:
    """An export between a journal and an intake that do as a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.now = folder, 1000.0
        self.journal: list[dict[str, Any]] = []
        self.steps: list[Callable[[], None]] = []
        self.answers: list[Answer | Exception] = []
        self.bad: set[int] = set()
        self.taken: list[int] = []
        self.requests: list[list[int]] = []
        self.waited: list[float] = []
        self.opened: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.settle(**SETTINGS)
        bench = self

        class Journal:
            def __init__(self, cursor: str) -> None:
                self._next = int(cursor[1:]) if cursor else 0

            def batch(self) -> list[dict[str, Any]]:
                if not bench.steps:
                    bench.export.stopped.set()
                    return []
                bench.steps.pop(0)()
                new, self._next = bench.journal[self._next :], len(bench.journal)
                return new

            def close(self) -> None:
                """Nothing to do."""

        class Intake:
            def __init__(self, to: Any) -> None:
                bench.opened.append((to.url, to.headers.get("Authorization", "")))

            def send(self, body: bytes) -> Answer:
                return bench.answer(body)

            def close(self) -> None:
                """Nothing to do."""

        monkeypatch.setattr(log_export, "Journal", Journal)
        monkeypatch.setattr(log_export, "Intake", Intake)
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        monkeypatch.setattr(log_export, "time", clock)
        monkeypatch.setattr(log_export, "threading", SimpleNamespace(Event=lambda: Stopped(self)))

    def settle(self, **settings: Any) -> None:
        file = self.folder / "settings.json"
        file.write_text(json.dumps(settings))
        os.utime(file, ns=(0, int(self.now * 1e9)))

    def answer(self, body: bytes) -> Answer:
        numbers = [int(it) for it in re.findall(rb'"h1/5ca1ab1e-(\d+)"', body)]
        self.requests.append(numbers)
        told = self.answers.pop(0) if self.answers else None
        if isinstance(told, Exception):
            raise told
        if told is None:
            told = Answer(400, "no") if self.bad & {*numbers} else Answer(200)
        if told.taken:
            self.taken += numbers[told.rejected :]
        return told

    def says(self, lines: int = 1, **fields: str) -> None:
        for _ in range(lines):
            self.now += 0.001
            number = len(self.journal) + 1
            moment = {"__REALTIME_TIMESTAMP": str(int(self.now * 1e6))}
            self.journal.append({**entry(number, "x", **(fields or CONTAINER)), **moment})

    def run(self, *steps: Callable[[], None]) -> None:
        self.steps = list(steps)
        self.export = log_export.Export(
            "lake", self.folder / "settings.json", self.folder / "place.json", self.folder / "lake.prom"
        )
        self.export.run()

    @property
    def place(self) -> str:
        return str(json.loads((self.folder / "place.json").read_text())["cursor"])

    def told(self, metric: str) -> float:
        text = (self.folder / "lake.prom").read_text()
        (found,) = re.findall(rf'^slipway_log_export_{metric}{{export="lake"}} (\S+)$', text, re.MULTILINE)
        return float(found)

    def tell_soon(self) -> None:
        """So long later that it tells the monitoring."""
        self.now += log_export.METRICS


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def all_once(bench: Bench) -> Counter[int]:
    return Counter(range(1, len(bench.journal) + 1))


@pytest.mark.parametrize(
    "trouble",
    [
        log_export.UnavailableError("away"),
        *(Answer(status) for status in (301, 401, 403, 404, 408, 429, 500, 502, 503, 504)),
    ],
    ids=lambda it: str(getattr(it, "status", "no answer")),
)
def test_nothing_is_lost_or_sent_twice_while_it_takes_nothing(bench: Bench, trouble: Any) -> None:
    def fail() -> None:
        bench.answers = [trouble] * 3
        bench.says(2)

    bench.run(lambda: bench.says(3), fail, *[bench.says] * 5, bench.tell_soon)
    assert Counter(bench.taken) == all_once(bench)
    assert bench.told("failures_total") == 3


def test_its_place_moves_only_when_lines_were_taken(bench: Bench) -> None:
    seen = []

    def fail() -> None:
        bench.answers = [Answer(503)]
        bench.says(4)

    bench.run(lambda: bench.says(2), fail, lambda: seen.append(bench.place))
    assert seen == ["c2"]
    assert bench.place == "c6"


def test_a_place_that_has_not_moved_costs_the_disk_nothing(bench: Bench) -> None:
    stamps = []

    def look() -> None:
        bench.now += 5
        stamps.append((bench.folder / "place.json").stat().st_ino)

    bench.run(bench.says, bench.tell_soon, *[look] * 5)
    assert len(set(stamps)) == 1


def test_one_that_is_killed_goes_on_from_what_was_taken_and_may_say_something_twice(bench: Bench) -> None:
    class KilledError(Exception):
        pass

    def kill() -> None:
        raise KilledError

    with pytest.raises(KilledError):
        # The place is remembered each second, so what was taken within the last one is sent again.
        bench.run(lambda: bench.says(3), kill)
    (bench.folder / "place.json").unlink()
    bench.run(bench.says)
    assert Counter(bench.taken) == Counter([1, 2, 3, 1, 2, 3, 4])
    bench.run(bench.says)
    assert bench.taken[-1:] == [5]


def test_of_many_lines_only_those_that_it_refuses_are_left_out(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.bad = {137, 600}
    bench.run(lambda: bench.says(900), bench.says, bench.tell_soon)
    assert Counter(bench.taken) == all_once(bench) - Counter([137, 600])
    assert (bench.told("refused_total"), bench.told("lines_total")) == (2, 899)
    assert bench.place == "c901"
    said = capsys.readouterr().err.splitlines()
    # Once, as it is exported itself: the rest is counted.
    assert said == ["lake: lines are refused for good and left out, 1 so far: it answers 400: no"]


def test_one_that_refuses_everything_is_asked_ever_less_often(bench: Bench) -> None:
    bench.bad = {*range(1, 10_000)}
    bench.run(lambda: bench.says(3000), bench.says)
    assert bench.taken == []
    assert bench.export._refused == 3001
    assert len(bench.requests) < 3 * 2 * log_export.SEARCH
    pauses = [seconds for seconds in bench.waited if seconds]
    assert len(pauses) == 4
    assert pauses == sorted(pauses)


def test_it_waits_as_long_as_it_is_asked_within_a_bound(bench: Bench) -> None:
    def fail() -> None:
        bench.answers = [Answer(429, retry_after=40.0), Answer(503, retry_after=86_400.0)]
        bench.says()

    bench.run(fail, *[bench.says] * 3)
    assert sum(bench.waited) == pytest.approx(40.0 + log_export.MOST_PATIENCE)
    # And tells the monitoring all the while.
    assert max(bench.waited) <= log_export.METRICS


def test_pauses_begin_anew_after_something_was_taken(bench: Bench) -> None:
    def fail() -> None:
        bench.answers = [Answer(503)] * 6
        bench.says()

    def fail_again() -> None:
        bench.waited.clear()
        bench.answers = [Answer(503)]
        bench.says()

    bench.run(fail, *[bench.says] * 7, fail_again, bench.says)
    assert len(bench.waited) == 1
    assert bench.waited[0] <= log_export.FIRST


def test_time_between_tries_grows_up_to_a_bound_and_is_never_the_same() -> None:
    found = [log_export.backoff(failures) for failures in range(60)]
    assert all(log_export.FIRST / 2 <= seconds <= log_export.MOST for seconds in found)
    assert found[0] <= log_export.FIRST
    assert min(found[6:]) >= log_export.MOST / 2
    assert len(set(found)) == len(found)


def test_a_key_that_is_mended_is_used_at_once_and_no_key_is_ever_told(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        bench.answers = [Answer(401, "who are you"), Answer(401, "who are you")]
        bench.says()

    def mend() -> None:
        bench.settle(**{**SETTINGS, "headers": {"Authorization": "better-key"}})

    bench.run(fail, mend, bench.says, bench.says)
    assert bench.opened[-1] == ("https://intake.test/v1/logs", "better-key")
    assert Counter(bench.taken) == all_once(bench)
    told = capsys.readouterr()
    assert "lines wait in the journal: it answers 401: who are you" in told.err
    assert "-key" not in told.err + told.out + (bench.folder / "lake.prom").read_text()


def test_another_address_is_used_though_all_is_well_with_the_old_one(bench: Bench) -> None:
    def move() -> None:
        bench.says()
        bench.settle(**{**SETTINGS, "url": "https://other.test/v1/logs"})

    bench.run(bench.says, move, bench.says)
    assert [url for url, _key in bench.opened] == [
        "https://intake.test/v1/logs",
        "https://other.test/v1/logs",
    ]
    assert bench.taken == [1, 2, 3]


def test_lines_that_it_says_it_has_left_out_are_counted(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def partly() -> None:
        bench.answers = [Answer(200, "too old", rejected=2)]
        bench.says(5)

    bench.run(partly, bench.tell_soon)
    assert (bench.told("lines_total"), bench.told("refused_total")) == (3, 2)
    assert bench.place == "c5"
    assert "too old" in capsys.readouterr().err


@pytest.mark.parametrize(("audit", "expected"), [(False, [1, 3]), (True, [1, 2, 3])])
def test_who_did_what_is_told_to_those_only_who_are_to_know(
    bench: Bench, audit: bool, expected: list[int]
) -> None:
    bench.settle(**{**SETTINGS, "audit": audit})
    bench.run(bench.says, lambda: bench.says(**LOGIN), bench.says, lambda: bench.says(**LOGIN))
    assert bench.taken[:3] == expected[:3] if audit else bench.taken == expected
    assert bench.place == "c4"


def test_a_destination_that_the_release_does_not_name_is_nothing_to_tell_of(bench: Bench) -> None:
    bench.run(bench.says, bench.tell_soon)
    (bench.folder / "settings.json").unlink()

    def back() -> None:
        assert not (bench.folder / "lake.prom").exists()
        bench.settle(**SETTINGS)

    bench.meanwhile = back
    bench.says()
    bench.run(bench.says)
    assert Counter(bench.taken) == all_once(bench)


def test_it_tells_how_far_behind_it_is_and_when_it_last_sent(bench: Bench) -> None:
    bench.run(bench.says, bench.tell_soon)
    assert bench.told("behind_seconds") == 0
    said = bench.now

    def fail() -> None:
        bench.answers = [log_export.UnavailableError("away")] * 20
        bench.says()

    bench.run(*[bench.says, bench.tell_soon], fail, *[lambda: None] * 8)
    assert bench.told("last_success_timestamp_seconds") == pytest.approx(said, abs=2)
    assert bench.told("behind_seconds") > 60
    waiting = bench.now - bench.told("behind_seconds")
    assert waiting == pytest.approx(said + log_export.METRICS, abs=log_export.METRICS)


def test_requests_are_bounded_in_number_and_in_size() -> None:
    small = [line(entry(number, "x"), "h1") for number in range(1, 2502)]
    assert [len(part) for part in log_export.parts(small)] == [1000, 1000, 501]
    large = [line(entry(number, "x" * 200_000), "h1") for number in range(1, 12)]
    assert [len(part) for part in log_export.parts(large)] == [5, 5, 1]
    assert list(log_export.parts([])) == []
