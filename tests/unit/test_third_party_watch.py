"""What the program that asks third parties makes of answers, and what it tells of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core import asking
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import (
    third_party_watch as program,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.third_party_watch import (
    Answer,
    Standing,
)
from made_third_parties import party


def headers(**told: str) -> Message:
    made = Message()
    for name, value in told.items():
        made[name.replace("_", "-")] = value
    return made


@pytest.mark.parametrize(
    ("told", "limit", "left"),
    [
        pytest.param({}, None, None, id="nothing-said"),
        pytest.param({"X_RateLimit_Limit": "5000", "X_RateLimit_Remaining": "4999"}, 5000, 4999, id="usual"),
        pytest.param({"x_rate_limit_limit": "900", "x_rate_limit_remaining": "0"}, 900, 0, id="older"),
        pytest.param({"RateLimit_Limit": "10, 10;w=1", "RateLimit_Remaining": "7"}, 10, 7, id="a-draft"),
        pytest.param({"RateLimit": "limit=100, remaining=50, reset=5"}, 100, 50, id="another-draft"),
        pytest.param({"RateLimit": '"hour";r=50;t=30, "day";r=9;t=99'}, None, 9, id="the-newest-draft"),
        pytest.param({"X_RateLimit_Remaining": "120, 3"}, None, 3, id="two-windows"),
        pytest.param({"X_RateLimit_Remaining": "-1"}, None, None, id="no-number-of-requests"),
        pytest.param({"X_RateLimit_Remaining": "many"}, None, None, id="no-number"),
        pytest.param({"RateLimit_Remaining": "1", "X_RateLimit_Remaining": "2"}, None, 1, id="both"),
    ],
)
def test_limits_are_read_from_headers(told: dict[str, str], limit: int | None, left: int | None) -> None:
    answer = program.judged(party(), 200, headers(**told), 0.1)
    assert (answer.limit, answer.remaining, answer.limited) == (limit, left, left == 0)
    assert answer.outcome == "ok"


@pytest.mark.parametrize(
    ("status", "seconds", "outcome", "fault"),
    [
        (200, 0.1, "ok", ""),
        (200, 9.9, "ok", ""),
        (200, 10.1, "failed", "it answered after 10.1 s"),
        (503, 0.1, "failed", "it answered 503, expected 200"),
        (302, 0.1, "failed", "it answered 302, expected 200"),
        (429, 0.1, "limited", "it answered 429: too many requests"),
    ],
)
def test_an_answer_is_judged(status: int, seconds: float, outcome: str, fault: str) -> None:
    answer = program.judged(party(), status, headers(), seconds)
    assert (answer.outcome, answer.fault) == (outcome, fault)
    assert answer.limited is (status == 429)


def test_how_long_to_wait_is_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert asking.patience("120") == 120
    assert 3000 < asking.patience(later) <= 3600
    assert asking.patience("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert [asking.patience(said) for said in (None, "soon", "", "Fri, 99 Dec 99999")] == [None] * 4


def answered(outcome: str, seconds: float = 0.1, **told: Any) -> Any:
    said = {"ok": "", "failed": "it answered 503, expected 200", "limited": "it answered 429"}
    return Answer(outcome, 200, seconds, said[outcome], **told)


def test_failures_and_slow_answers_are_counted_in_a_row() -> None:
    one = Standing(party())
    counted = []
    for answer in [
        *[answered("failed")] * 2,
        answered("ok", 3.0),
        answered("ok", 2.5),
        # A limit is no failure, and a failure is not slow.
        answered("failed", 10.0),
        answered("limited"),
        answered("ok", 2.0),
    ]:
        one.note(answer, 0.0)
        counted.append((one.failures, one.slow))
    assert counted == [(1, 0), (2, 0), (0, 1), (0, 2), (1, 0), (0, 0), (0, 0)]
    assert one.counts == {"ok": 3, "failed": 3, "limited": 1}


def test_the_journal_has_one_line_for_each_change() -> None:
    one = Standing(party())
    told = [one.note(answered(outcome), 0.0) for outcome in ("ok", "failed", "failed", "ok", "ok")]
    assert told == ["", "it answered 503, expected 200", "", "it answers as expected again", ""]


@pytest.mark.parametrize(
    ("answer", "due"),
    [
        pytest.param(answered("ok"), 160.0, id="as-often-as-the-stack-says"),
        pytest.param(answered("limited", retry_after=600.0), 703.0, id="not-before-it-may-be-asked"),
        pytest.param(answered("limited", retry_after=5.0), 160.0, id="not-more-often-either"),
        pytest.param(answered("limited", retry_after=1e9), 3703.0, id="within-an-hour-in-any-case"),
        pytest.param(answered("failed", retry_after=600.0), 160.0, id="what-is-down-is-watched"),
    ],
)
def test_who_wishes_it_is_left_alone(answer: Any, due: float) -> None:
    one = Standing(party(), begun=100.0)
    one.note(answer, 103.0)
    assert one.due == due


def test_what_is_told_is_all_there_before_the_first_answer_but_answers() -> None:
    told = program.text({"payments": Standing(party(few=100))})
    values = [line for line in told.splitlines() if not line.startswith("#")]
    assert values == [
        'slipway_third_party_slow_seconds{third_party="payments"} 2.0',
        'slipway_third_party_few{third_party="payments"} 100',
        'slipway_third_party_asked_total{third_party="payments",outcome="ok"} 0',
        'slipway_third_party_asked_total{third_party="payments",outcome="limited"} 0',
        'slipway_third_party_asked_total{third_party="payments",outcome="failed"} 0',
    ]


def test_an_answer_is_told_with_what_it_says_of_limits() -> None:
    one = Standing(party())
    one.note(answered("limited", limit=60, remaining=0, retry_after=30.0), 0.0)
    values = [line for line in program.text({"maps": one}).splitlines() if not line.startswith("#")]
    assert values[4:] == [
        'slipway_third_party_up{third_party="maps"} 0',
        'slipway_third_party_status{third_party="maps"} 200',
        'slipway_third_party_seconds{third_party="maps"} 0.1',
        'slipway_third_party_failures_in_a_row{third_party="maps"} 0',
        'slipway_third_party_slow_in_a_row{third_party="maps"} 0',
        'slipway_third_party_limited{third_party="maps"} 1',
        'slipway_third_party_limit{third_party="maps"} 60',
        'slipway_third_party_remaining{third_party="maps"} 0',
        'slipway_third_party_retry_after_seconds{third_party="maps"} 30.0',
    ]
    one.note(answered("ok"), 0.0)
    # What the newest answer does not say is not known any more.
    assert "remaining" not in program.text({"maps": one})
