"""What the host role takes away is also gone from what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/host"
# A found unit's path comes from a question about that folder.
UNITS = ("/etc/systemd/system/", "__host_found.stat.path")


def taken_away(place: str) -> list[tuple[str, Any]]:
    """Files of tasks that remove something of a place, and whom they notify."""
    found = []
    for file in sorted((ROLE / "tasks").glob("no_*.yml")):
        for task in yaml.safe_load(file.read_text()):
            told = task.get("ansible.builtin.file", {})
            if told.get("state") == "absent" and place in f"{told['path']} {task.get('loop')}":
                found.append((file.name, task.get("notify", [])))
    return found


@pytest.mark.parametrize("place", UNITS)
def test_systemd_forgets_units_that_are_removed(place: str) -> None:
    tasks = taken_away(place)
    assert tasks
    assert [file for file, notified in tasks if "Units removed" not in notified] == []


def test_the_journal_forgets_settings_that_are_removed() -> None:
    ((_file, notified),) = taken_away("/etc/systemd/journald.conf.d/")
    assert "Journal settings changed" in notified


def test_whoever_is_notified_listens() -> None:
    handlers = yaml.safe_load((ROLE / "handlers/main.yml").read_text())
    listening = {handler["listen"] for handler in handlers}
    assert {"Units removed", "Journal settings changed"} <= listening
