"""Programs that the host role installs: complete, and started anew when any part of them changes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from host_programs import CORE, ROLE

PROGRAMS = sorted(file.name.removesuffix("_main.py") for file in (ROLE / "files").glob("*_main.py"))
# The others are started by timers, and found anew each time.
SERVICES = ["availability", "container_metrics", "log_shipper", "third_parties"]


def imported(file: Path) -> set[str]:
    """Modules of the core that a file there or of the role names, each as its path: `logs/journal`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = str(node.module or "")
        if node.level:
            near = file.parents[node.level - 1] / module.replace(".", "/")
        elif module.startswith("core."):
            near = CORE / module.removeprefix("core.").replace(".", "/")
        else:
            continue
        within = [near] if near.with_suffix(".py").is_file() else [near / name.name for name in node.names]
        found |= {str(it.relative_to(CORE)) for it in within}
    return found


def needed(program: str) -> set[str]:
    found: set[str] = set()
    fresh = imported(ROLE / f"files/{program}_main.py")
    while fresh:
        found |= fresh
        fresh = {name for it in fresh for name in imported(CORE / f"{it}.py")} - found
    return found


def installations() -> dict[str, dict[str, Any]]:
    """How the role installs each program, by name."""
    tasks = [task for file in (ROLE / "tasks").glob("*.yml") for task in yaml.safe_load(file.read_text())]
    uses = [task["vars"] for task in tasks if task.get("ansible.builtin.import_tasks") == "program.yml"]
    return {use["__host_program"]["name"]: use["__host_program"] for use in uses}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_has_the_modules_that_it_needs_and_no_others(program: str) -> None:
    listed = yaml.safe_load((ROLE / "vars/main.yml").read_text())[f"_host_{program}_core"]
    assert set(listed) == needed(program)
    assert installations()[program]["core"] == f"{{{{ _host_{program}_core }}}}"


@pytest.mark.parametrize("program", SERVICES)
def test_what_runs_all_the_time_is_started_anew_when_any_part_of_it_changes(program: str) -> None:
    handlers = yaml.safe_load((ROLE / "handlers/main.yml").read_text())
    (handler,) = [it for it in handlers if it["listen"] == installations()[program]["changed"]]
    told = handler["ansible.builtin.systemd_service"]
    assert (told["name"], told["state"]) == (f"slipway-{program.replace('_', '-')}", "restarted")
    written = yaml.safe_load((ROLE / "tasks/program.yml").read_text())
    notifying = [task for task in written if "ansible.builtin.copy" in task]
    assert [task["notify"] for task in notifying] == ["{{ __host_program.changed | default([]) }}"] * 2
