"""What random faults must not have come to, and how two leaders at once are seen in the logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from soak import LEADS, Word, at_once, faults_of, table

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
    ("words", "expected"),
    [
        pytest.param([(0, "a"), (3, "a"), (6, "a")], [], id="one-leads"),
        pytest.param([(0, "a"), (3, "a"), (23, "b"), (26, "b"), (80, "a")], [], id="one-after-the-other"),
        pytest.param([(0, "a"), (3, "a"), (5, "b"), (6, "a")], [(5, "a", "b")], id="two-at-once"),
    ],
)
def test_two_leaders_at_once_are_seen(words: Sequence[Word], expected: Sequence[Any]) -> None:
    assert list(at_once(words)) == expected


def test_patronis_words_are_known() -> None:
    log = (
        "2026-11-27 15:22:56,168 INFO: no action. I am (lab-1.slipway.test), the leader with the lock\n"
        "2026-11-27 15:22:57,000 INFO: no action. I am (lab-2.slipway.test), a secondary\n"
    )
    assert LEADS.findall(log) == [("2026-11-27 15:22:56,168", "lab-1.slipway.test")]


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
