"""Archives, and what is beside them, as tests need them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_plan import (
    Settings,
    Snapshot,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_work import Archive

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def snapshot(name: str, days: float, paths: Sequence[str] = ("/opt/shop/config",)) -> Snapshot:
    """One that was taken so many days ago."""
    return Snapshot(name * 8, NOW - timedelta(days=days), "a", tuple(paths))


def keeping(tmp_path: Path, answers: Callable[[Sequence[str]], tuple[int, str, str]]) -> Archive:
    """The keeper of two repositories whose commands are answered so."""
    told = Settings("shop", "a", "10.0.0.1", "10.0.0.1:8434", 7, (), 0, ("host-a", "redis"))
    folder = tmp_path / "config/host/archive"
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "state").mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(told.to_dict()))
    for name in told.keeps:
        (folder / f"{name}.password").write_text(f"secret-of-{name}")
    return Archive(tmp_path, lambda argv, stdin=None: answers([*argv, f"stdin={stdin}"]))
