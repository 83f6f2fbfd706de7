"""What a host sends to the log store after something has gone wrong."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.logs import journal_place, log_shipper
from journal_entries import LOGIN, entry


class Store:
    """Remembers what it took; what it took since its last `settle` is gone when it crashes."""

    def __init__(self) -> None:
        self.kept: dict[str, list[str]] = {"logs": [], "audit": []}
        self.fresh: list[tuple[str, str]] = []
        self.fails = self.starts = 0

    def send(self, store: str, lines: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise log_shipper.UnavailableError("away")
        self.fresh += [(store, one.seq) for one in lines]

    def settle(self) -> None:
        for store, seq in self.fresh:
            self.kept[store].append(seq)
        self.fresh = []

    def has(self, store: str) -> set[str]:
        return {*self.kept[store], *(seq for where, seq in self.fresh if where == store)}


class Bench:
    """A shipper between a journal and a store that do as a test says; its clock stands until it is moved."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.journal, self.now, self.asked = Store(), [], 100.0, []
        settings = folder / "logs.json"
        settings.write_text('{"name": "h1", "host": "10.0.0.3", "port": 9428}')
        self.files = settings, folder / "place.json", folder / "logs.prom"
        self.steps: list[Any] = []
        bench = self

        class Journal:
            def __init__(self, cursor: str) -> None:
                bench.asked.append(cursor)
                after = int(cursor[1:]) if cursor else 0
                self._next = after

            def batch(self) -> list[dict[str, Any]]:
                if not bench.steps:
                    bench.shipper.going_on = False
                    return []
                bench.steps.pop(0)()
                new, self._next = bench.journal[self._next :], len(bench.journal)
                return new

            def close(self) -> None:
                """Nothing to do."""

        class Connected:
            def __init__(self, _settings: Any) -> None:
                self.send = bench.store.send

            def started(self) -> list[str]:
                return [str(bench.store.starts)]

            def kept(self, store: str, _since: float) -> set[str]:
                return bench.store.has(store)

            def close(self) -> None:
                """Nothing to do."""

        monkeypatch.setattr(log_shipper, "Journal", Journal)
        monkeypatch.setattr(log_shipper, "Store", Connected)
        clock = SimpleNamespace(
            monotonic=lambda: self.now, time=lambda: self.now, sleep=lambda _seconds: None
        )
        monkeypatch.setattr(log_shipper, "time", clock)

    def says(self, lines: int, seconds: float = 1.0) -> None:
        """So many lines are written, and time goes on; after five seconds the store has them on its disk."""
        for _ in range(lines):
            self.journal.append(entry(len(self.journal) + 1, "x", **LOGIN))
        self.now += seconds
        if seconds > journal_place.SETTLED:
            self.store.settle()

    def crash(self) -> None:
        self.store.fails = 1
        self.crash_unseen()

    def crash_unseen(self) -> None:
        """It is back before anything is sent."""
        self.store.fresh = []
        self.store.starts += 1
        self.says(1)

    def away(self) -> None:
        self.store.fails = 2
        self.says(1)

    def run(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.shipper = log_shipper.Shipper(*self.files)
        self.shipper.run()

    def counted(self) -> tuple[list[str], list[str]]:
        """What is in neither place, and what is there twice, of both stores."""
        self.store.settle()
        wanted = [f"5ca1ab1e-{one['__SEQNUM']}" for one in self.journal]
        lost = [seq for store in ("logs", "audit") for seq in wanted if seq not in self.store.kept[store]]
        twice = [seq for it in self.store.kept.values() for seq, number in Counter(it).items() if number > 1]
        return lost, twice


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_nothing_is_lost_or_sent_twice_while_the_store_is_away(bench: Bench) -> None:
    bench.run(
        lambda: bench.says(3),
        lambda: bench.says(2, 9),
        bench.away,
        lambda: bench.says(2),
        lambda: bench.says(1, 9),
    )
    assert bench.counted() == ([], [])


def test_what_a_store_had_taken_when_it_was_killed_is_sent_again(bench: Bench) -> None:
    bench.run(
        lambda: bench.says(5, 9),
        lambda: bench.says(4),
        bench.crash,
        lambda: bench.says(1),
        lambda: bench.says(1, 9),
    )
    assert bench.counted() == ([], [])


def test_a_store_that_was_killed_and_is_back_before_anything_is_sent_gets_all_again(bench: Bench) -> None:
    bench.run(
        lambda: bench.says(5, 9), lambda: bench.says(4), bench.crash_unseen, *[lambda: bench.says(1, 9)] * 3
    )
    assert bench.counted() == ([], [])


def test_a_store_that_is_killed_twice_gets_all_of_it_twice(bench: Bench) -> None:
    # What it had taken before the first time counts for nothing, however long ago that was.
    resent = (lambda: bench.says(1, 4.5), bench.crash, lambda: bench.says(1), lambda: bench.says(1, 9))
    bench.run(lambda: bench.says(5), lambda: bench.says(4), bench.crash, *resent)
    assert bench.counted() == ([], [])


def test_what_another_store_had_taken_does_not_count_as_kept_by_this_one(bench: Bench) -> None:
    def moved() -> None:
        bench.files[0].write_text('{"name": "h1", "host": "10.0.0.4", "port": 9428}')
        os.utime(bench.files[0], ns=(1, 1))
        bench.store = Store()
        bench.says(4)

    after = (lambda: bench.says(1, 9), bench.crash, lambda: bench.says(1), lambda: bench.says(1, 9))
    bench.run(lambda: bench.says(5), moved, *after)
    assert bench.counted() == ([], [])


def test_a_shipper_that_begins_anew_goes_on_where_the_store_surely_has_all(bench: Bench) -> None:
    bench.run(lambda: bench.says(5), lambda: bench.says(2, 9), lambda: bench.says(3))
    bench.run(lambda: bench.says(1), lambda: bench.says(0, 9))
    assert bench.counted() == ([], [])
    # Not from the beginning, nor from after lines that a crash of the store might still take.
    assert bench.asked == ["", "c5"]


def test_it_tells_how_far_behind_it_is_and_how_often_it_failed(bench: Bench) -> None:
    bench.run(lambda: bench.says(1, 9), lambda: bench.says(0, 60))
    assert "slipway_log_behind_seconds 0\n" in bench.files[2].read_text()
    bench.store.fails = 2
    bench.run(lambda: bench.says(1, 300))
    told = bench.files[2].read_text()
    assert "slipway_log_failures_total 1\n" in told
    behind = float(told.splitlines()[-1].split()[-1])
    assert behind == bench.now - 2.0  # the moment of the line that waits


def test_without_a_store_to_send_to_it_waits(bench: Bench) -> None:
    bench.files[0].unlink()
    shipper = log_shipper.Shipper(*bench.files)
    with pytest.raises(log_shipper.UnavailableError, match="says nothing of a store yet"):
        next(shipper._from_what_is_kept())
