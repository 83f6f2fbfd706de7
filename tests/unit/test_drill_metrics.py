"""The monitoring hears what a drill came to, and keeps what it heard of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.drill_metrics import (
    FOLDER,
    HELP,
    Result,
    samples,
    write,
)

WELL = Result(1795868407.4, True, 6.8, 0.0, 12.5)


def test_all_that_was_measured_is_told() -> None:
    told = list(samples("primary_kill", WELL))
    assert {metric for metric, _, _ in told} == HELP.keys()
    assert {label for _, label, _ in told} == {'drill="primary_kill"'}
    assert ("slipway_drill_rto_seconds", 'drill="primary_kill"', 6.8) in told
    assert ("slipway_drill_ended_seconds", 'drill="primary_kill"', 1795868407) in told


def test_what_never_came_back_has_no_time_and_is_not_well() -> None:
    told = {
        metric: value for metric, _, value in samples("edge_host_loss", Result(1.0, False, None, 3, None))
    }
    assert told == {
        "slipway_drill_ended_seconds": 1,
        "slipway_drill_ok": 0,
        "slipway_drill_rpo_seconds": 3,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    return tmp_path


def test_a_drill_replaces_its_own_result_only(root: Path) -> None:
    write(root, "primary_kill", WELL)
    write(root, "edge_host_loss", WELL)
    write(root, "primary_kill", Result(2.0, False, 40.0, 0.0, 50.0))
    files = {path.name: path for path in (root / FOLDER).iterdir()}
    assert files.keys() == {"drill_primary_kill.prom", "drill_edge_host_loss.prom"}
    assert 'slipway_drill_ok{drill="primary_kill"} 0' in files["drill_primary_kill.prom"].read_text()
    assert 'slipway_drill_ok{drill="edge_host_loss"} 1' in files["drill_edge_host_loss.prom"].read_text()
    # node-exporter takes a metric of several files only where all describe it alike.
    described = [
        [line for line in path.read_text().splitlines() if line.startswith("#")] for path in files.values()
    ]
    assert described[0] == described[1]
