"""What a host sends to the log store: of each entry, and after something has gone wrong."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core import log_shipper

CONTAINER = {
    "CONTAINER_NAME": "shop-api-blue-1-1",
    "COM_DOCKER_COMPOSE_SERVICE": "api-blue-1",
    "COM_DOCKER_COMPOSE_PROJECT_CONFIG_FILES": "/opt/shop/releases/99ac20d3e760/docker-compose.prod.yml",
    "SLIPWAY_SERVICE": "api",
    "SLIPWAY_POOL": "blue",
    "SLIPWAY_REPLICA": "api-blue-1",
    "PRIORITY": "6",
    # The driver's own process, which is not whoever speaks: as journald says, and as nobody can claim.
    "_SYSTEMD_UNIT": "docker.service",
    "SYSLOG_FACILITY": "10",
}
LOGIN = {
    "SYSLOG_IDENTIFIER": "sudo",
    "SYSLOG_FACILITY": "10",
    "_SYSTEMD_UNIT": "session-3.scope",
    "_PID": "77",
    "PRIORITY": "5",
}

DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


def entry(number: int, message: Any, **fields: Any) -> dict[str, Any]:
    own = {
        "__CURSOR": f"c{number}",
        "__SEQNUM": str(number),
        "__SEQNUM_ID": "5ca1ab1e" + 24 * "0",
        "__REALTIME_TIMESTAMP": str(1_000_000 * number),
    }
    return {**own, "MESSAGE": message, **fields}


def sent(message: Any, **fields: Any) -> dict[str, str]:
    return dict(json.loads(log_shipper.line(entry(7, message, **fields), "h1").text))


def test_a_containers_line_says_whose_it_is_of_which_release_and_of_which_request() -> None:
    said = '{"level": "warning", "request_id": "3f2a9c1d", "event": "late"}'
    assert sent(said, **CONTAINER) == {
        "_time": "7000000",
        "_msg": said,
        "host": "h1",
        "source": "container",
        "component": "api-blue-1",
        "container": "shop-api-blue-1-1",
        "service": "api",
        "pool": "blue",
        "replica": "api-blue-1",
        "release": "99ac20d3e760",
        "level": "warning",
        "request_id": "3f2a9c1d",
        "seq": "5ca1ab1e-7",
    }


def test_a_jobs_line_goes_by_the_name_of_the_job() -> None:
    assert (
        sent("x", **{**CONTAINER, "CONTAINER_NAME": "shop-job.timetable-run-1", "SLIPWAY_JOB": "timetable"})[
            "component"
        ]
        == "timetable"
    )


@pytest.mark.parametrize("unit", [{}, {"_SYSTEMD_UNIT": "user@1000.service"}])
def test_what_a_user_says_in_a_containers_name_is_not_the_containers(unit: dict[str, str]) -> None:
    claimed = {name: value for name, value in CONTAINER.items() if not name.startswith("_")}
    told = sent("x", **claimed, **unit, SYSLOG_IDENTIFIER="mallory")
    assert (told["source"], told["component"]) == ("host", "mallory")
    assert not {"container", "service", "pool", "replica", "release"} & told.keys()


def test_what_the_engine_says_itself_is_the_hosts() -> None:
    told = sent("x", _SYSTEMD_UNIT="docker.service", SYSLOG_IDENTIFIER="dockerd")
    assert (told["source"], told["component"]) == ("host", "docker")


@pytest.mark.parametrize(
    ("fields", "component"),
    [
        ({"_SYSTEMD_UNIT": "ssh.service", "SYSLOG_IDENTIFIER": "sshd"}, "ssh"),
        ({"SYSLOG_IDENTIFIER": "kernel"}, "kernel"),
        (LOGIN, "sudo"),
        ({}, "host"),
    ],
)
def test_a_host_services_line_goes_by_its_unit_or_its_program(fields: dict[str, str], component: str) -> None:
    assert sent("x", **fields)["component"] == component


@pytest.mark.parametrize(
    ("message", "fields", "audit"),
    [
        pytest.param("x", LOGIN, True, id="sudo"),
        pytest.param("x", {"SYSLOG_FACILITY": "4"}, True, id="a-login"),
        pytest.param("x", {"SYSLOG_FACILITY": "3"}, False, id="a-daemon"),
        pytest.param('{"audit": true}', CONTAINER, True, id="a-service-that-says-so"),
        pytest.param('{"audit": "true"}', CONTAINER, False, id="a-service-that-says-something-like-it"),
        pytest.param("x", CONTAINER, False, id="a-container-whose-driver-speaks-as-the-host"),
    ],
)
def test_who_did_what_is_told_apart(message: str, fields: dict[str, str], audit: bool) -> None:
    assert log_shipper.line(entry(7, message, **fields), "h1").audit is audit


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param([104, 105, 255], "hi\N{REPLACEMENT CHARACTER}", id="bytes-that-are-no-text"),
        pytest.param(["a", "b"], "a b", id="a-field-that-is-there-twice"),
        pytest.param(None, "(empty)", id="nothing"),
        pytest.param("{", "{", id="half-an-object"),
        pytest.param("[" * 100_000, "[" * 100_000, id="nothing-to-be-read-to-its-depth"),
        pytest.param('{"a":' * 9_000, '{"a":' * 9_000, id="an-object-too-deep"),
    ],
)
def test_whatever_is_said_is_sent(message: Any, expected: str) -> None:
    assert sent(message)["_msg"] == expected


@pytest.mark.parametrize("priority", ["12", "234", "", "8", "-1", "\N{SUPERSCRIPT TWO}", ["1", "2"]])
def test_a_priority_that_is_none_says_nothing_of_the_level(priority: Any) -> None:
    assert "level" not in sent("x", PRIORITY=priority)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"PRIORITY": [1000]}, "x", id="numbers-that-are-no-bytes"),
        pytest.param({"MESSAGE": [-1]}, "(unreadable)", id="a-message-of-them"),
        pytest.param({"SYSLOG_IDENTIFIER": DEEP}, "x", id="a-field-too-deep"),
    ],
)
def test_an_entry_that_nobody_foresaw_is_a_plain_line(fields: dict[str, Any], said: str) -> None:
    line = log_shipper.line({**entry(7, "x", **LOGIN), **fields}, "h1")
    assert (line.cursor, line.moment, line.audit) == ("c7", 7.0, True)
    told = {"_time": "7000000", "host": "h1", "source": "host", "component": "host", "_msg": said}
    told["seq"] = "5ca1ab1e-7"
    assert json.loads(line.text) == told


def journal(*said: str) -> Any:
    """What `journalctl` would print; then it follows."""
    program = "import sys, time; [print(eval(it), flush=True) for it in sys.argv[1:-5]]; time.sleep(60)"
    return log_shipper.Journal("", [sys.executable, "-c", program, *said])


def test_an_entry_too_large_to_hold_is_left_out_and_those_after_it_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two = (json.dumps(entry(number, "x")) for number in (1, 2))
    large = """'{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","MESSAGE":"' + 'x' * (20 << 20) + '"}'"""
    following = journal(repr(one), large, repr(two))
    found, held = [], 0
    try:
        while len(found) < 2:
            found += following.batch()
            held = max(held, len(following._rest))
    finally:
        following.close()
    assert [it["__CURSOR"] for it in found] == ["c1", "c2"]
    assert held <= log_shipper.LARGEST
    assert capsys.readouterr().err == "an entry of more than 8 MB is left out\n"


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{}", b'{"__CURSOR":"c","__REALTIME_TIMESTAMP":"now"}'])
def test_what_is_no_entry_is_passed_over(text: bytes) -> None:
    assert log_shipper._entry(text) is None


def test_what_the_store_would_skip_is_shortened_and_says_so() -> None:
    text = log_shipper.line(entry(7, "\N{SNOWMAN}" * 90_000), "h1").text
    assert len(text) < 250_000
    assert json.loads(text)["clipped"] == "90000"


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
        if seconds > log_shipper.SETTLED:
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
