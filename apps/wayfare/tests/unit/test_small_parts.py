from __future__ import annotations

import asyncio
import json
import logging

import pytest
from wayfare.breaker import Breaker
from wayfare.dependency import GRACE, Dependency
from wayfare.flags import bucket, value_for
from wayfare.log import REQUEST_ID, JsonLines, begin_request
from wayfare.session import new_session, sign, verify
from wayfare.settings import Identity


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try_later() -> None:
    clock = Clock()
    breaker = Breaker(failures=2, pause=5, clock=clock)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now += 5
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]


class Server:
    up = True

    async def probe(self) -> None:
        if not self.up:
            raise ConnectionError("refused\nDETAIL: a second line")


@pytest.mark.parametrize("essential", [True, False])
def test_a_dependency_must_answer_once_and_may_be_away_for_a_while(*, essential: bool) -> None:
    clock, server = Clock(), Server()
    dependency = Dependency("database", server.probe, essential=essential, clock=clock)
    assert dependency.complaint == "database: has not answered yet"
    server.up = False
    asyncio.run(dependency.check())
    assert dependency.complaint == "database: ConnectionError: refused"
    server.up = True
    asyncio.run(dependency.check())
    assert dependency.complaint is None
    server.up = False
    clock.now += GRACE
    asyncio.run(dependency.check())
    assert dependency.complaint is None
    assert dependency.up() == 0
    clock.now += 1
    assert bool(dependency.complaint) is essential
    server.up = True
    asyncio.run(dependency.check())
    assert dependency.complaint is None


def test_a_session_is_only_believed_with_our_signature() -> None:
    session, key = new_session(), b"k" * 32
    cookie = sign(session, key)
    assert verify(cookie, key) == session
    for forged in (
        None,
        "",
        "x",
        session,
        cookie + "0",
        cookie.replace(cookie[-1], "z"),
        sign(session, b"j" * 32),
    ):
        assert verify(forged, key) is None


def test_a_flag_keeps_its_answer_and_reaches_its_share() -> None:
    flag = {"key": "half", "enabled": True, "percentage": 50, "value": "yes"}
    answers = [value_for(flag, str(visitor)) for visitor in range(2000)]
    assert answers == [value_for(flag, str(visitor)) for visitor in range(2000)]
    assert 900 < answers.count("yes") < 1100
    assert set(answers) == {"yes", False}
    assert value_for(flag | {"percentage": 100}, "anyone") == "yes"
    assert value_for(flag | {"percentage": 0}, "anyone") is False
    assert value_for(flag | {"percentage": 100, "enabled": False}, "anyone") is False


def test_flags_do_not_choose_the_same_visitors() -> None:
    assert [bucket("one", str(visitor)) for visitor in range(50)] != [
        bucket("two", str(visitor)) for visitor in range(50)
    ]


@pytest.mark.parametrize(
    ("offered", "adopted"),
    [("abc-123", True), ("", False), (None, False), ("a\nb", False), ("x" * 129, False)],
)
def test_a_correlation_id_is_adopted_when_harmless(offered: str | None, *, adopted: bool) -> None:
    identifier = begin_request(offered)
    assert (identifier == offered) is adopted
    assert REQUEST_ID.get() == identifier


def test_a_log_line_is_one_json_object_whatever_is_in_it() -> None:
    begin_request("abc-123")
    record = logging.makeLogRecord(
        {"name": "wayfare", "msg": "two\nlines of %s", "args": ("text",), "route": "/é"}
    )
    line = JsonLines(Identity("api", "blue", "api-blue-1", "host", "1")).format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["message"], entry["route"]) == ("two\nlines of text", "/é")
    assert (entry["service"], entry["request_id"]) == ("api", "abc-123")
