"""How often Docker is asked for what does not change."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine


@pytest.mark.parametrize(
    ("still", "times"), [pytest.param(True, 1, id="nobody-acts"), pytest.param(False, 2, id="somebody-does")]
)
def test_containers_are_looked_at_once_while_nobody_acts(still: bool, times: int) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        asked.append(argv)
        return 0, "web-blue-1\tabc\trunning\tUp 2 hours\tid1\n", ""

    engine = Engine(run, "shop", still=still)
    assert [engine.containers()[0].service for _ in range(2)] == ["web-blue-1"] * 2
    assert len(asked) == times
