"""What a host tells of a release that it has prepared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.history.record import Record
from ansible_collections.slipway.compose.plugins.module_utils._core.history.record_store import (
    FOLDER,
    History,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.plan import Step
from ansible_collections.slipway.compose.plugins.module_utils._core.release.prepared import told
from ansible_collections.slipway.compose.plugins.module_utils._core.release.preparing import Preparation
from ansible_collections.slipway.compose.plugins.module_utils._core.release.release_diff import Change
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Job

STEPS = (
    Step("create", "postgres", "data", "not running"),
    Step("reload", "edge", "edge", "its configuration changed"),
    Step("create", "web-blue-1", "services", "not running"),
)


def prepared(root: Path, *steps: Step, current: str = "r2", **given: Any) -> dict[str, Any]:
    """Of a host that prepares release r2."""
    engine: Any = SimpleNamespace(memory_limits=lambda: {"web-blue-1": 64})
    unasked: Any = None
    it = Preparation(root, engine, unasked, (), unasked, steps=steps)
    if "refused" in given:
        it.refusals.add("definition", given["refused"], "Start it")
    return told(it, "r2", current, given.get("changes", ()), given.get("jobs", ()), confidential=["config/"])


def test_steps_are_told_by_phase_and_by_what_they_do(tmp_path: Path) -> None:
    found = prepared(tmp_path, *STEPS)
    assert found["pending"] == {"data": ["create"], "services": ["create"], "edge": ["reload"], "finish": []}
    assert found["changing"] == ["edge", "postgres"], "a replica is none of the components"
    assert found["starting"] == ["postgres", "web-blue-1"]
    assert found["room"]["limits"] == {"web-blue-1": 64}


def test_a_host_is_behind_until_release_steps_and_jobs_are_done(tmp_path: Path) -> None:
    assert not prepared(tmp_path)["behind"]
    assert prepared(tmp_path, current="r1")["behind"]
    assert prepared(tmp_path, STEPS[0])["behind"]
    assert prepared(tmp_path, jobs=[Job("warm", "web", ("warm",), "before_traffic", 60)])["behind"]
    assert prepared(tmp_path, refused="its engine is stopped")["behind"], "it could not be asked for steps"


def test_migrations_run_where_they_are_others_or_nobody_knows_what_ran(tmp_path: Path) -> None:
    assert prepared(tmp_path)["migrates"], "no run has ended well here"
    began = "2026-11-22T14:15:02Z"
    History(tmp_path / FOLDER).write(
        Record("20261122T141502-3f2a9c", began, "ann", "laptop", outcome="succeeded", release="r2")
    )
    assert not prepared(tmp_path)["migrates"]
    assert prepared(tmp_path, changes=[Change("migrations/web/1_a.up.sql", "", "SELECT 1;")])["migrates"]


def test_the_diff_shows_steps_and_no_confidential_text(tmp_path: Path) -> None:
    shown = prepared(tmp_path, STEPS[0], changes=[Change("config/edge/key", "OLD", "NEW")])["diff"][
        "prepared"
    ]
    assert shown.endswith("create postgres (not running)\n")
    assert "OLD" not in shown and "NEW" not in shown
