"""What random faults must not have come to, and what they have cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from soak import FAULTS, SECONDS, faults, faults_of, parsed, table

WELL: dict[str, Any] = {
    "acknowledged": 100,
    "lost": 0,
    "duplicated": 0,
    "altered": 0,
    "faults": [{"rto": 42.0}],
    "whole": 60.0,
    "drill": "primary_kill",
    "reads": 200,
    "reads_back": True,
    "longest_read_gap": 1.5,
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({}, [], id="slow-is-no-fault"),
        pytest.param({"lost": 2}, ["2 writes lost"], id="lost"),
        pytest.param({"altered": 1}, ["1 writes altered"], id="altered"),
        pytest.param({"acknowledged": 0}, ["no write was acknowledged"], id="nothing-proven"),
        pytest.param({"faults": [{"rto": None}]}, ["writes did not come back"], id="never-back"),
        pytest.param({"whole": None}, ["not whole again"], id="never-whole"),
        pytest.param({"reads": 0}, ["no read was answered"], id="nothing-read"),
        pytest.param({"reads_back": False}, ["reads did not come back"], id="reads-never-back"),
        pytest.param({"longest_read_gap": 40.0}, [], id="slow-reads-are-no-fault"),
    ],
)
def test_what_takes_long_is_told_and_what_is_lost_is_a_fault(
    changed: dict[str, Any], expected: Sequence[str]
) -> None:
    assert faults_of(WELL | changed) == expected


def test_the_table_has_medians_by_drill_and_leaves_out_what_went_wrong() -> None:
    second = WELL | {"longest_read_gap": 2.5, "whole": 61.0}
    assert list(table([WELL, second, WELL | {"lost": 1}]))[2:] == [
        "| `primary_kill` | 2 | 42.0 s, 42.0 s | 2.0 s, 2.5 s | 60 s, 61 s |"
    ]


def test_faults_at_random_are_the_same_with_the_same_seed() -> None:
    planned = faults([], 5, 50, 185725)
    assert planned == faults([], 5, 50, 185725) != faults([], 5, 50, 185726)
    assert len(planned) == 50
    assert {drill for drill, _seconds in planned} <= set(FAULTS)
    assert all(SECONDS[0] <= seconds <= SECONDS[1] for _drill, seconds in planned)


def test_drills_of_ones_choice_take_turns_for_their_own_time() -> None:
    told = parsed(["--only", "primary_kill", "table_drop", "--times", "2"])
    assert faults(told.only, told.times, told.faults, told.seed) == [
        ("primary_kill", 0),
        ("table_drop", 0),
        ("primary_kill", 0),
        ("table_drop", 0),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([], ([], 5, 50, 240.0), id="nothing-said"),
        pytest.param(["--only", "edge_host_loss"], (["edge_host_loss"], 5, 50, 240.0), id="five-times"),
        pytest.param(["--faults", "7", "--minutes", "1"], ([], 5, 7, 1.0), id="at-random"),
    ],
)
def test_what_is_not_said_has_a_default(words: list[str], expected: Any) -> None:
    told = parsed(words)
    assert (told.only, told.times, told.faults, told.minutes) == expected
    assert told.seed > 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--only", "primary_kil"], "primary_kill"),
        (["--only", "primary_kill", "--faults", "3"], "not with --only"),
        (["--only", "primary_kill", "--seed", "3"], "not with --only"),
        (["--times", "3"], "name the drills"),
        (["--only", "primary_kill", "--times", "0"], "no number from 1"),
        (["--only"], "expected at least one argument"),
    ],
)
def test_what_makes_no_sense_together_is_refused(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(words)
    assert reason in capsys.readouterr().err
