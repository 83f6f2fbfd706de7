"""A copy takes the place of what served; where that fails, everything that went wrong is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.restore_work import STEPS


def swapped(failing: Mapping[str, str]) -> SlipwayError:
    """The error of a swap on a host where these subcommands of docker say what is told."""

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        return (1, "", failing[argv[1]]) if argv[1] in failing else (0, "", "")

    host = RestoreHost(run, "wayfare-postgres-1", "wayfare", "wayfare_backend")
    with pytest.raises(SlipwayError) as caught:
        STEPS["swapped"](host, {"id": "20261127", "stack": "wayfare"})
    return caught.value


def test_what_kept_the_copy_from_starting_is_told() -> None:
    error = swapped({"start": "no space left on device"})
    assert "no space left on device" in error.problem
    assert "could not take its place" not in error.problem


def test_where_what_served_is_kept_is_told_when_it_cannot_take_its_place_either() -> None:
    error = swapped({"start": "no space left on device", "stop": "engine does not answer"})
    assert "no space left on device" in error.problem
    assert "engine does not answer" in error.problem
    assert "/var/lib/postgresql/17/before-20261127" in error.remedy
