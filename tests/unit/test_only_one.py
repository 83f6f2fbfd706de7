"""Work that only one may do at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.only_one import only_one

AT_WORK = SlipwayError("another one is at work", "Wait")


def test_work_is_done_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        only_one(tmp_path / "lock", AT_WORK),
        pytest.raises(SlipwayError, match="another one is at work"),
        only_one(tmp_path / "lock", AT_WORK),
    ):
        pass
    with only_one(tmp_path / "lock", AT_WORK):
        pass


def test_what_the_work_itself_would_have_waited_for_is_its_own_failure(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), only_one(tmp_path / "lock", AT_WORK):
        raise BlockingIOError
