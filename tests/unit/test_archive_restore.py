"""The way back of a volume, and who may take it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.archive import archive_restore
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_host import ArchiveHost
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    SlipwayError,
)
from made_archives import NOW, keeping

CHECKOUT = Path(__file__).resolve().parents[2]


class Engine:
    """A volume of two containers, and restic. Each look at the clock is a minute after the one before."""

    def __init__(self, folder: Path, *failing: str) -> None:
        self.data, self.started = folder / "volumes/shop_files/_data", list[str]()
        self._failing, self._minutes = failing, count()
        self.data.mkdir(parents=True)
        (self.data / "held").write_text("original")

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        told = {"docker volume": str(self.data), "docker ps": "one\ntwo\n"}.get(" ".join(argv[:2]), "")
        if "snapshots" in argv:
            paths = [str(self.data)]
            told = json.dumps([{"id": "ab" * 8, "hostname": "a", "paths": paths, "time": NOW.isoformat()}])
        if target := [word for word in argv if word.startswith("--target=")]:
            fresh = Path(target[0].removeprefix("--target="))
            fresh.mkdir()
            (fresh / "held").write_text("archived")
        if argv[1] == "start":
            self.started.append(argv[2])
        failed = " ".join(argv[1:3]) in self._failing
        return int(failed), told, "no such container" if failed else ""

    def restore(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        clock = SimpleNamespace(now=lambda _zone: NOW + timedelta(minutes=next(self._minutes)))
        monkeypatch.setattr(archive_restore, "datetime", clock)
        monkeypatch.setattr(ArchiveHost, "reachable", lambda _host: None)
        return archive_restore.restore(keeping(tmp_path, self).host, "volume:files", "latest").told


def test_what_a_volume_held_is_kept_also_when_the_same_is_restored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path)
    first = Path(engine.restore(tmp_path, monkeypatch).rsplit(" ", 1)[-1])
    assert first == engine.data.with_name("before-abababab-20261127T120100Z")
    second = Path(engine.restore(tmp_path, monkeypatch).rsplit(" ", 1)[-1])
    kept = [(folder / "held").read_text() for folder in (first, second, engine.data)]
    assert kept == ["original", "archived", "archived"]


def test_all_containers_of_a_volume_are_started_also_where_one_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path, "start one")
    with pytest.raises(SlipwayError, match="container one does not start"):
        engine.restore(tmp_path, monkeypatch)
    assert engine.started == ["one", "two"] and (engine.data / "held").read_text() == "archived"


def test_a_container_that_does_not_stop_leaves_the_volume_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path, "stop two", "start two")
    with pytest.raises(SlipwayError, match="two does not stop: .*; container two does not start"):
        engine.restore(tmp_path, monkeypatch)
    assert engine.started == ["one", "two"] and (engine.data / "held").read_text() == "original"


def test_a_restore_holds_the_environment_and_nothing_else_of_the_playbook_does() -> None:
    plays = yaml.safe_load((CHECKOUT / "playbooks/archive.yml").read_text(encoding="utf-8"))
    (held,) = [task for task in plays[1]["tasks"] if "block" in task]
    lock, restore = held["block"]
    assert lock["ansible.builtin.include_role"]["name"] == "slipway.compose.lock"
    assert restore["slipway.compose.archive"]["state"] == "restored"
    assert held["always"][0]["ansible.builtin.include_role"]["tasks_from"] == "released"
    assert held["when"] == "restore is defined"
