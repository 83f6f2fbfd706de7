"""What the backup host remembers and tells of a backup that did not end well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_errors import LockedError
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import FULL
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_work import Backups
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError

SETTINGS = {
    "stack": "shop", "at": "02:00", "every": 24, "full_on": "sunday", "repositories": [1], "members": ["a"],
    "assertions": [],
}  # fmt: skip
INFO = {
    "name": "shop",
    "db": [{"id": 1, "system-id": 77, "version": "17"}],
    "archive": [],
    "backup": [],
    "repo": [{"key": 1, "status": {"code": 2, "message": "no valid backups"}}],
    "status": {},
}
SERVER = {"database_system_identifier": "77", "server_version": 170006}


def backups(root: Path, code: int, told: str) -> Backups:
    """A host on which pgBackRest ends a backup like that."""

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if "info" in argv:
            return 0, json.dumps([INFO]), ""
        return (code, "", told) if "backup" in argv else (0, json.dumps(SERVER), "")

    path = root / "config/backup-repository/settings.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SETTINGS))
    (root / "state").mkdir()
    return Backups(root, run)


def test_a_backup_that_was_killed_is_told_as_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="was killed"):
        backups(tmp_path, 137, "").take(FULL, lambda _line: None)
    assert "slipway_backup_last_ok 0\n" in (tmp_path / "state/metrics/backup.prom").read_text()


def test_that_another_one_is_at_work_is_no_failure_and_asks_to_be_tried_again(tmp_path: Path) -> None:
    told = "ERROR: [050]: unable to acquire lock on file '/tmp/pgbackrest/shop-backup-1.lock'"
    with pytest.raises(LockedError, match="another backup is at work"):
        backups(tmp_path, 50, told).take(FULL, lambda _line: None)
    assert not (tmp_path / "state/backups/last.json").exists()
