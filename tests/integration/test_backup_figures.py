"""What the benchmark of backups makes of its figures."""

from __future__ import annotations

import pytest
from backup_figures import Row, markdown, verdict

COPY = Row("cp -a", [4.0, 5.0, 9.0], 100 << 20)


def test_a_row_has_its_speed_and_its_ratio_by_medians() -> None:
    restore = Row("restore", [2.0, 30.0, 10.0], 100 << 20)
    recovery = Row("replay | answer", [1.0], 64 << 20)
    table = markdown([COPY, restore], [recovery], COPY, 100 << 20).splitlines()[2:]
    assert table == [
        "| cp -a | 5.0 | 4.0, 5.0, 9.0 | 20.0 | 100 | 1.00 |",
        "| restore | 10.0 | 2.0, 30.0, 10.0 | 10.0 | 100 | 2.00 |",
        "| replay \\| answer | 1.0 | 1.0 | - | 64 of WAL | - |",
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        pytest.param(7.5, "restore: 1.50 times cp -a. The aim, at most 1.5, is met", id="as-allowed"),
        pytest.param(7.6, "restore: 1.52 times cp -a. The aim, at most 1.5, is missed", id="slower"),
    ],
)
def test_a_restore_is_held_against_the_copy(seconds: float, told: str) -> None:
    assert verdict(Row("restore", [seconds]), COPY) == told
