from __future__ import annotations

import pytest
from wayfare.pacing import ahead


@pytest.mark.parametrize(
    ("sent", "size", "seconds", "elapsed", "wait"),
    [
        pytest.param(50, 100, 10, 1, 4, id="half-of-it-waits-until-half-the-time-is-over"),
        pytest.param(50, 100, 10, 7, 0, id="one-that-is-late-hurries"),
        pytest.param(50, 100, 0, 0, 0, id="without-a-time-nothing-waits"),
        pytest.param(0, 0, 10, 0, 0, id="nothing-takes-no-time"),
        pytest.param(100, 100, 10, 9, 1, id="the-last-byte-ends-it-in-time"),
    ],
)
def test_bytes_are_spread_over_their_time(
    sent: int, size: int, seconds: float, elapsed: float, wait: float
) -> None:
    assert ahead(sent, size, seconds, elapsed) == wait
