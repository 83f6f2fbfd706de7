"""One release at a time on a host: the second waits, and is told by whom it is kept."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release.turn import own_turn


def test_a_second_one_is_refused_after_its_patience_and_told_who_holds_it(tmp_path: Path) -> None:
    with (
        own_turn(tmp_path / "lock", 0),
        pytest.raises(SlipwayError) as refused,
        own_turn(tmp_path / "lock", 0.1),
    ):
        pass
    assert f"process {os.getpid()}" in refused.value.problem


def test_the_turn_is_given_back_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), own_turn(tmp_path / "lock", 0):
        raise ValueError("broken")
    with own_turn(tmp_path / "lock", 0):
        pass


def _hold(path: Path, held: multiprocessing.synchronize.Event) -> None:
    with own_turn(path, 0):
        held.set()
        time.sleep(600)  # until it is killed


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "lock", held))
    holder.start()
    assert held.wait(60)
    with pytest.raises(SlipwayError, match="another deployment"), own_turn(tmp_path / "lock", 0):
        pass
    holder.kill()
    with own_turn(tmp_path / "lock", 60):
        holder.join()
