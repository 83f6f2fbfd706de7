"""A bad release that its gates let pass is gone in seconds: the one before still runs."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from edge import Edge
from fleet_under_test import Fleet
from waiting import eventually

# Whatever it answers is good enough: the operator finds out, not the judge.
BLIND = {"errors": 100, "errors_above_old": 100, "p95": "24h", "p99": "24h", "slower_than_old": 1000}
BAD = {"MISBEHAVE": "errors=1"}


class Watcher:
    """Asks again and again; remembers when it was last answered badly, and well."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watcher")
        self.last_bad = self.last_good = 0.0

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join(timeout=30)

    def _work(self) -> None:
        connection = self._edge.connection()
        while not self._ended.wait(0.03):
            try:
                well = self._edge.request("GET", "/api/me", connection=connection).status == 200
            except (OSError, http.client.HTTPException):
                well, connection = False, self._edge.connection()
            if well:
                self.last_good = time.monotonic()
            else:
                self.last_bad = time.monotonic()


def test_a_rollback_to_a_warm_pool(fleet: Fleet, edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.deploy(fleet.stack("api", {})).status == 0
    live, here = fleet.assert_one_pool("api"), fleet.current()
    stack = fleet.stack("api", BAD, strategy="at_once_and_warm", gates=BLIND)
    out = fleet.deploy(stack)
    assert out.status == 0, out.problem
    assert all(pools == {"blue": 2, "green": 2} for pools in fleet.running("api").values())
    again = fleet.deploy(stack)
    assert again.status == 0, again.problem
    assert not re.search(r"changed=[1-9]", again.output), "what is kept warm is no reason for a change"

    with Watcher(edge).watching() as users:
        assert eventually(lambda: users.last_bad > users.last_good, bool, 60), "the bad one does not serve"
        begun = time.monotonic()
        back = fleet.rollback(stack)
        ended = time.monotonic()
        assert eventually(lambda: users.last_good > max(users.last_bad, ended), bool, 60), back.problem
    assert back.status == 0, back.problem
    # Before all else: had it been left to the plan, users would have waited for it.
    _before, _title, told = back.output.partition("Send the traffic to the replicas that are still warm]")
    assert re.match(r"[\s*]*changed: \[", told), back.output
    with capsys.disabled():
        told = (
            f"last bad answer {users.last_bad - begun:.1f} s after the command, its end {ended - begun:.1f} s"
        )
        print(f"\nrollback to a warm pool: {told}")
    assert (fleet.assert_one_pool("api"), fleet.current()) == (live, here)
