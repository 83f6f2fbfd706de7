"""What a site's member of PostgreSQL is told and tells when sites change places."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.site_member import SiteMember
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.sites import (
    Seen,
    rests,
)


def promotion(known: dict[str, int], at: int) -> int:
    """What a site that follows is told it was promoted at."""
    settings: dict[str, Any] = {"standby_cluster": {"host": "a"}, "slipway": known}

    def run(argv: Any, stdin: str | None = None) -> tuple[int, str, str]:
        line = " ".join(argv)
        if "PATCH" in line:
            settings.update(json.loads(stdin or ""))
        if line.endswith("/patroni"):
            role = "standby_leader" if settings["standby_cluster"] else "primary"
            return 0, json.dumps({"role": role, "state": "running"}), ""
        if line.endswith("/config"):
            return 0, json.dumps(settings), ""
        return 0, f"100||t|f|{'t' if settings['standby_cluster'] else 'f'}\n", ""

    assert SiteMember(run, "c").promote(at, 0)["promoted"]
    return int(settings["slipway"]["promoted"])


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        pytest.param({}, 1000, 1001, id="never-before"),
        pytest.param({"promoted": 5000, "others": 10}, 1000, 5001, id="own-clock-went-wrong"),
        pytest.param({"others": 7000}, 1000, 7001, id="the-others-clock-went-wrong"),
    ],
)
def test_a_promotion_is_later_than_any_other_whatever_the_clock_says(
    known: dict[str, int], at: int, expected: int
) -> None:
    assert promotion(known, at) == expected


@pytest.mark.parametrize(
    ("volume", "absent"),
    [
        pytest.param((1, "Error response from daemon: get c_postgres: no such volume"), True, id="nothing"),
        pytest.param((0, ""), False, id="data-without-containers"),
        pytest.param((1, "Cannot connect to the Docker daemon"), False, id="an-engine-that-says-nothing"),
    ],
)
def test_a_host_whose_containers_are_gone_is_bare_only_without_data(
    volume: tuple[int, str], absent: bool
) -> None:
    def run(argv: Any, stdin: str | None = None) -> tuple[int, str, str]:
        if argv[1] == "volume":
            assert argv[-1] == "wayfare_postgres"
            return volume[0], "", volume[1]
        return 1, "", "Error: No such container: wayfare-postgres-1"

    seen = Seen.parse("b1", SiteMember(run, "wayfare-postgres-1").seen())
    assert seen.absent is absent
    if not absent:
        with pytest.raises(SlipwayError, match="no-member-tells"):
            rests([seen], follow=True)


def test_a_stop_that_does_not_end_is_taken_back() -> None:
    told: list[str] = []
    position = "100||f|t|f\n"

    def run(argv: Any, stdin: str | None = None) -> tuple[int, str, str]:
        line = " ".join(argv)
        if "PATCH" in line:
            told.append(stdin or "")
        if line.endswith("/patroni"):
            return 0, json.dumps({"role": "primary", "state": "running", "pause": True}), ""
        if line.endswith("/config"):
            return 0, "{}", ""
        if "pg_ctl" in line:
            return 1, "", "server does not shut down"
        return 0, position if "psql" in line else "", ""

    with pytest.raises(SlipwayError, match="did not stop"):
        SiteMember(run, "c").stop()
    assert told == ['{"pause": true}', '{"pause": null}']
