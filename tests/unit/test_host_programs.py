"""Programs that the host role installs: complete, and started anew when any part of them changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.plugin_utils.host_programs import programs, sources
from host_programs import ROLE, installed

# The others are started by timers, and found anew each time.
SERVICES = ["availability", "container_metrics", "log_shipper", "third_parties"]
INSTALL = "slipway.compose.host_program"


def installations() -> dict[str, dict[str, Any]]:
    """The role's tasks that install a program, by its name."""
    tasks = [task for file in (ROLE / "tasks").glob("*.yml") for task in yaml.safe_load(file.read_text())]
    return {task[INSTALL]["name"]: task for task in tasks if INSTALL in task}


def test_the_role_installs_every_program() -> None:
    assert sorted(installations()) == programs()


@pytest.mark.parametrize("program", programs())
def test_a_program_has_all_that_it_imports(program: str, tmp_path: Path) -> None:
    """With nothing but its folder and Python's own library."""
    folder = installed(program, tmp_path / program)
    main = str(folder / "__main__.py")
    script = f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); runpy.run_path({main!r})"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_program_has_no_more_than_it_imports() -> None:
    assert sorted(sources("container_metrics")) == [
        "__main__.py",
        "core/monitoring/container_metrics.py",
        "core/textfile.py",
    ]


@pytest.mark.parametrize("program", SERVICES)
def test_what_runs_all_the_time_is_started_anew_when_any_part_of_it_changes(program: str) -> None:
    handlers = yaml.safe_load((ROLE / "handlers/main.yml").read_text())
    (handler,) = [it for it in handlers if it["listen"] == installations()[program]["notify"]]
    told = handler["ansible.builtin.systemd_service"]
    assert (told["name"], told["state"]) == (f"slipway-{program.replace('_', '-')}", "restarted")
