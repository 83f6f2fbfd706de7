"""A release begins only where the newest backup is young enough, as its host remembers it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup import backup_age
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import (
    NO_BACKUP,
    OK,
    UNREADABLE,
    Backup,
    Info,
    RepositoryState,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_report import (
    METRICS,
    LastRun,
    Reports,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.release import handover
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from made_backups import SUNDAY, backup
from whole_stack import stack, with_backup

AN_HOUR = timedelta(hours=1)


def info(*backups: Backup, second: int = OK) -> Info:
    states = (RepositoryState(1, OK, "ok", ""), RepositoryState(2, second, "", ""))
    return Info(states, backups, "7", "17", None)


def test_the_last_word_about_the_newest_backup_holds_where_nobody_can_be_asked(tmp_path: Path) -> None:
    reports = Reports(tmp_path)
    assert reports.newest() == {}
    second = replace(backup("diff", SUNDAY), repository=2)
    newest = backup("diff", SUNDAY + timedelta(days=1))
    reports.tell(info(newest, backup("full", SUNDAY), second))
    reports.tell(None)
    assert reports.newest() == {1: newest.ended, 2: second.ended}
    # One that cannot be read grows old; one that can be, and is empty, has none.
    younger = backup("diff", SUNDAY + timedelta(days=2))
    reports.tell(info(younger, second=UNREADABLE))
    assert reports.newest() == {1: younger.ended, 2: second.ended}
    told = (tmp_path / METRICS).read_text(encoding="utf-8")
    assert f'slipway_backup_newest_seconds{{repository="2"}} {second.ended.timestamp():.0f}\n' in told
    assert 'slipway_backups{repository="2"}' not in told
    reports.tell(info(younger, second=NO_BACKUP))
    assert reports.newest() == {1: younger.ended}


@pytest.mark.parametrize(
    ("age", "last_ok", "refused"),
    [
        pytest.param(25 * AN_HOUR, True, "", id="young-enough"),
        pytest.param(25 * AN_HOUR, False, "", id="young-enough-though-the-last-attempt-failed"),
        pytest.param(27 * AN_HOUR, True, "in repository 1 27.0 hours, at most 26.0 hours", id="too-old"),
        pytest.param(None, None, "", id="the-first-is-yet-to-come"),
        pytest.param(
            None, False, "no backup has ever been made; the last attempt: the disk", id="first-failed"
        ),
    ],
)
def test_a_release_needs_a_young_backup(
    tmp_path: Path, age: timedelta | None, last_ok: bool | None, refused: str
) -> None:
    reports, now = Reports(tmp_path), SUNDAY + timedelta(days=9)
    if last_ok is not None:
        reports.record_run(
            LastRun(now.isoformat(), "diff", last_ok, 1.0, "" if last_ok else "the disk is full")
        )
    if age:
        made = backup("full", SUNDAY)
        reports.tell(info(replace(made, ended=now - age)))
    if not refused:
        backup_age.look(tmp_path, 26 * AN_HOUR, now)
        return
    with pytest.raises(SlipwayError, match=refused) as told:
        backup_age.look(tmp_path, 26 * AN_HOUR, now)
    assert "release_without_backup=true" in told.value.remedy


def test_only_the_host_that_keeps_backups_is_asked_their_age() -> None:
    laid = topology(with_backup(stack(3)))
    assert {name: handover.backup_age(laid, view) for name, view in laid.views.items()} == {
        "h1.test": 0,
        "h2.test": 0,
        "h3.test": 26,
    }
    laid = topology(stack(3))
    assert {handover.backup_age(laid, view) for view in laid.views.values()} == {0}
