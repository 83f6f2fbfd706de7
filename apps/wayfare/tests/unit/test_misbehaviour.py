from __future__ import annotations

import pytest
from wayfare.misbehaviour import Misbehaviour, parse_misbehaviour


def test_every_switch_is_understood() -> None:
    text = "errors=0.1,bugs=0.2,latency=300ms, crash_after=30s,crash_on_start,never_ready,slow_start=1m"
    text += ",leak=5MB/s"
    assert parse_misbehaviour(text) == (Misbehaviour(0.1, 0.2, 0.3, 30.0, True, True, 60.0, 5 * 1024**2), [])


@pytest.mark.parametrize("text", ["", " "])
def test_nothing_said_is_good_behaviour(text: str) -> None:
    assert parse_misbehaviour(text) == (Misbehaviour(), [])


@pytest.mark.parametrize(
    "text",
    [
        "errors=2",
        "errors=0",
        "errors",
        "errors=-0.1",
        "errors=10%",
        "latency=300",
        "latency=-1s",
        "latency=0s",
    ]
    + ["crash_on_start=yes", "crash_after=2h", "leak=5MB", "leak=0MB/s", "slow_start=", "latancy=1s", ","]
    + ["latency=1s,latency=1s"],
)
def test_what_is_not_understood_is_refused_not_ignored(text: str) -> None:
    misbehaviour, problems = parse_misbehaviour(text)
    assert problems
    assert misbehaviour == Misbehaviour()


def test_all_problems_are_told_at_once() -> None:
    assert len(parse_misbehaviour("errors=2,latency=1,bogus")[1]) == 3


def test_the_share_of_errors_is_kept() -> None:
    failing = sum(Misbehaviour(errors=0.25).fails_now() for _ in range(10_000))
    assert 2200 < failing < 2800
    assert not any(Misbehaviour().fails_now() for _ in range(100))
    assert all(Misbehaviour(errors=1).fails_now() for _ in range(100))
