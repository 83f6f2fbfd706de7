"""A copy takes the place of what served; where that fails, everything that went wrong is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import STEPS
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError

PARAMS = {"id": "20261127", "stack": "wayfare", "first": False}


def swapped(failing: Mapping[str, str]) -> SlipwayError:
    """The error of a swap on a host where these subcommands of docker say what is told."""

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        told = "sha256:1 1073741824 67108864" if argv[1] == "inspect" else ""
        return (1, "", failing[argv[1]]) if argv[1] in failing else (0, told, "")

    host = RestoreHost(run, "wayfare-postgres-1", "wayfare", "wayfare_backend")
    with pytest.raises(SlipwayError) as caught:
        STEPS["swapped"](host, PARAMS)
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


def test_a_cluster_is_forgotten_only_after_what_orders_two_sites_is_kept() -> None:
    done: list[str] = []

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        words = " ".join(argv)
        told = {
            "site.py keep": "keep",
            "patronictl": "forget",
            "docker stop": "stop",
            "before-20261127 ]": "swap back",
        }
        done.extend(name for told, name in told.items() if told in words)
        if "site.py keep" in words:
            return 1, "", "this site follows the other one"
        return 0, "sha256:1 1073741824 67108864", ""

    with pytest.raises(SlipwayError, match="this site follows the other one"):
        STEPS["swapped"](RestoreHost(run, "wayfare-postgres-1", "wayfare", "wayfare_backend"), PARAMS)
    assert done == ["keep", "stop", "swap back"]


@pytest.mark.parametrize(
    ("swapped_still", "expected"),
    [
        pytest.param("yes", ["stop", "swap back", "discard", "start"], id="the-copy-stands-in-its-place"),
        pytest.param("", ["discard", "start"], id="it-was-taken-back"),
    ],
)
def test_what_is_given_up_never_starts_the_copy(swapped_still: str, expected: list[str]) -> None:
    done: list[str] = []

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        words = " ".join(argv)
        if "echo yes" in words:
            return 0, swapped_still, ""
        steps = {
            "docker stop": "stop",
            "docker start": "start",
            "mv /var/lib/postgresql/17/before-20261127 ": "swap back",
            "-restore rm -rf /var/lib/postgresql/17/restored": "discard",
        }
        done.extend(name for told, name in steps.items() if told in words)
        return 0, "sha256:1 1073741824 67108864", ""

    host = RestoreHost(run, "wayfare-postgres-1", "wayfare", "wayfare_backend")
    STEPS["given_up"](host, PARAMS)
    assert done == expected


def test_a_copy_that_has_no_room_leaves_no_container() -> None:
    done: list[str] = []

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        done.append(argv[1])
        told = "sha256:1 1073741824 67108864" if argv[1] == "inspect" else "avail\n1000"
        return 0, told, ""

    host = RestoreHost(run, "wayfare-postgres-1", "wayfare", "wayfare_backend")
    with pytest.raises(SlipwayError, match="the disk is full"):
        STEPS["restored"](host, PARAMS | {"plan": {"needed": 1001, "arguments": []}})
    assert done[-1] == "rm"
