"""What the log store is told of each entry of a host's journal, and what becomes of those that are none."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.logs import journal
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.journal import Journal
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.journal_lines import line
from journal_entries import CONTAINER, LOGIN, entry

DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


def sent(message: Any, **fields: Any) -> dict[str, str]:
    return dict(json.loads(line(entry(7, message, **fields), "h1").text))


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
    assert line(entry(7, message, **fields), "h1").audit is audit


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
    plain = line({**entry(7, "x", **LOGIN), **fields}, "h1")
    assert (plain.cursor, plain.moment, plain.audit) == ("c7", 7.0, True)
    told = {"_time": "7000000", "host": "h1", "source": "host", "component": "host", "_msg": said}
    told["seq"] = "5ca1ab1e-7"
    assert json.loads(plain.text) == told


def following(*said: str) -> Any:
    """What `journalctl` would print; then it follows."""
    program = "import sys, time; [print(eval(it), flush=True) for it in sys.argv[1:-5]]; time.sleep(60)"
    return Journal("", [sys.executable, "-c", program, *said])


def test_an_entry_too_large_to_hold_is_left_out_and_those_after_it_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two = (json.dumps(entry(number, "x")) for number in (1, 2))
    large = """'{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","MESSAGE":"' + 'x' * (20 << 20) + '"}'"""
    follower = following(repr(one), large, repr(two))
    found, held = [], 0
    try:
        while len(found) < 2:
            found += follower.batch()
            held = max(held, len(follower._rest))
    finally:
        follower.close()
    assert [it["__CURSOR"] for it in found] == ["c1", "c2"]
    assert held <= journal.LARGEST
    assert capsys.readouterr().err == "an entry of more than 8 MB is left out\n"


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{}", b'{"__CURSOR":"c","__REALTIME_TIMESTAMP":"now"}'])
def test_what_is_no_entry_is_passed_over(text: bytes) -> None:
    assert journal._entry(text) is None


def test_what_the_store_would_skip_is_shortened_and_says_so() -> None:
    text = line(entry(7, "\N{SNOWMAN}" * 90_000), "h1").text
    assert len(text) < 250_000
    assert json.loads(text)["clipped"] == "90000"
