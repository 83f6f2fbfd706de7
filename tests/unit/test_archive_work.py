"""What a host does at its timers, and what it tells."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_work import main
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.modules import archive as module
from host_programs import installed
from made_archives import keeping


class Repositories:
    """Two repositories, one with an old archive and one without any, and what restic was asked of them.

    locked: by somebody who died. spoiled: the first cannot be listed.
    """

    def __init__(self, *, stubborn: bool = False, locked: bool = False, spoiled: bool = False) -> None:
        self.asked: list[Sequence[str]] = []
        self.newer = datetime.now(UTC) - timedelta(days=1)
        self._held = {"older": self.newer - timedelta(days=7), "newer": self.newer}
        self._stubborn, self._locked, self._spoiled = stubborn, locked, spoiled

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.asked.append(argv)
        if "unlock" in argv:
            self._locked = False
            return (10, "", "none") if "--repo=/var/lib/archive/redis" in argv else (0, "", "")
        if self._locked:
            return 11, "", "unable to create lock: repository is already locked exclusively by PID 7"
        if "forget" in argv and not self._stubborn:
            del self._held["older"]
        if "snapshots" not in argv:
            return 0, "", ""
        if self._spoiled and "--repo=/var/lib/archive/host-a" in argv:
            return 1, "", "Fatal: snapshot 1 cannot be decoded"
        held = [
            {"id": name, "hostname": "a", "paths": [], "time": moment.isoformat()}
            for name, moment in self._held.items()
        ]
        return (0, json.dumps(held), "") if "--repo=/var/lib/archive/host-a" in argv else (10, "", "none")


def test_the_keeper_deletes_what_is_old_and_tells_the_age_of_the_rest(tmp_path: Path) -> None:
    repositories = Repositories()
    keeping(tmp_path, repositories).keep(lambda _line: None)
    forget = next(argv for argv in repositories.asked if "forget" in argv)
    assert forget[-4:] == ["forget", "--prune", "older", "stdin=secret-of-host-a\n"]
    assert not any("secret" in word for argv in repositories.asked for word in argv[:-1])
    told = (tmp_path / "state/metrics/archive.prom").read_text()
    assert f'newest_seconds{{of="a"}} {repositories.newer.timestamp():.0f}\n' in told
    assert 'slipway_archives{of="a"} 1\n' in told and 'newest_seconds{of="redis"} 0\n' in told
    assert 'last_ok{what="keep"} 1' in (tmp_path / "state/metrics/archive_keep.prom").read_text()


def test_what_restic_only_says_to_have_deleted_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="host-a: what is old could not be deleted"):
        keeping(tmp_path, Repositories(stubborn=True)).keep(lambda _line: None)
    assert 'last_ok{what="keep"} 0' in (tmp_path / "state/metrics/archive_keep.prom").read_text()


def test_a_lock_of_one_that_died_keeps_the_keeper_from_nothing(tmp_path: Path) -> None:
    keeping(tmp_path, Repositories(locked=True)).keep(lambda _line: None)
    assert 'last_ok{what="keep"} 1' in (tmp_path / "state/metrics/archive_keep.prom").read_text()


def test_a_spoiled_repository_keeps_the_keeper_from_no_other(tmp_path: Path) -> None:
    told = tmp_path / "state/metrics/archive.prom"
    with pytest.raises(SlipwayError, match="host-a cannot be listed"):
        keeping(tmp_path, Repositories(spoiled=True)).keep(lambda _line: None)
    assert 'of="a"' not in told.read_text() and 'slipway_archives{of="redis"} 0\n' in told.read_text()


def test_what_is_known_of_a_repository_is_told_again_where_it_cannot_be_listed(tmp_path: Path) -> None:
    told = tmp_path / "state/metrics/archive.prom"
    keeping(tmp_path, Repositories()).keep(lambda _line: None)
    before = told.read_text()
    told.write_text(before.replace('archives{of="redis"} 0', 'archives{of="redis"} 7'))
    with pytest.raises(SlipwayError, match="host-a cannot be listed"):
        keeping(tmp_path, Repositories(spoiled=True)).keep(lambda _line: None)
    assert told.read_text() == before


def test_an_archive_that_cannot_be_reached_is_told_as_a_failure(tmp_path: Path) -> None:
    archive = keeping(tmp_path, lambda _argv: (0, "", ""))
    with pytest.raises(SlipwayError, match="cannot be reached"):
        archive.take(lambda _line: None)
    assert 'last_ok{what="take"} 0' in (tmp_path / "state/metrics/archive_take.prom").read_text()


class Systemd:
    """What the module asks of its host: the state of the unit, and to start it."""

    def __init__(self, state: str) -> None:
        self.state, self.asked = state, list[list[str]]()

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        self.asked.append(argv)
        return 0, f"{self.state}\n", ""


@pytest.mark.parametrize(
    ("state", "provisioned", "last", "expected"),
    [
        pytest.param("inactive", True, None, True, id="never-archived"),
        pytest.param("inactive", True, "10.0.0.1:8434", False, id="archived-before"),
        pytest.param("inactive", True, "10.0.0.2:8434", True, id="archived-where-archives-were-kept-before"),
        pytest.param("activating", True, None, False, id="under-way"),
        pytest.param("inactive", False, None, False, id="not-provisioned"),
    ],
)
def test_the_first_archive_begins_where_there_never_was_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    state: str,
    provisioned: bool,
    last: str,
    expected: bool,
) -> None:
    archive, systemd = keeping(tmp_path, lambda _argv: (0, "", "")), Systemd(state)
    monkeypatch.setattr(module, "SYSTEMD", tmp_path)
    if provisioned:
        (tmp_path / module.UNIT).touch()
    if last:
        archive.host.settings = replace(archive.host.settings, repository=last)
        with archive.host.telling("take"):
            pass
    assert module.ready(systemd, tmp_path)["changed"] is expected
    assert (["systemctl", "start", "--no-block", module.UNIT] in systemd.asked) is expected


def test_a_release_from_before_the_archive_has_none_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYSTEMD", tmp_path)
    (tmp_path / module.UNIT).touch()
    assert module.ready(Systemd("inactive"), tmp_path) == {"changed": False, "steps": []}


def test_the_hosts_program_has_all_that_it_needs(tmp_path: Path) -> None:
    """As the role lays it out, in a Python that sees nothing of this checkout."""
    program = installed("archive", tmp_path / "program")
    for arguments, status, told in (
        ([], 2, "usage:"),
        (["shop", "take"], 1, "archives nothing of shop"),
        (["shop", "copy"], 1, "archives nothing of shop"),
    ):
        command = [sys.executable, "-I", str(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == status
        assert told in done.stderr


def test_a_wrong_call_says_how_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shop", "often"]) == 2
    assert "take|keep" in capsys.readouterr().err
