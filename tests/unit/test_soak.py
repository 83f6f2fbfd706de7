"""What random faults must not have come to, and what they have cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from soak import faults_of, table

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
