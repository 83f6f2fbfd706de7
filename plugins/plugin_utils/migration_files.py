"""Judges a service's new migrations where they are written, on the control node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.migration.migration_file import script
from ..module_utils._core.migration.migration_lint import findings, judged
from ..module_utils._core.stack.model_service import Service

_SECONDS = 60


def faults(service: Service, checkout: Path, files: Sequence[str]) -> list[str]:
    """What stands in the way of releasing these files, as `folder/file:line: problem. remedy.`"""
    if not files:
        return []
    squawk, problems = _squawk(), []
    for name in files:
        # Not read_text: the host read the same bytes.
        text = (checkout / str(service.migrations) / name).read_bytes().decode()
        content = script(name, text)
        found = findings(_run, squawk, text, content.transactional)
        problems += [f"{service.migrations}/{problem}" for problem in judged(content, found)]
    return problems


def _squawk() -> str:
    """The one that was installed with Ansible, else the one on PATH."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    found = shutil.which("squawk", path=places)
    if not found:
        raise SlipwayError(
            "squawk, which judges migrations, is not on this control node",
            "Install it: scripts/setup, or `pip install squawk-cli`",
        )
    return found


def _run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    # From a folder without a .squawk.toml, which could switch rules off unseen.
    done = subprocess.run(
        list(argv), input=stdin, capture_output=True, text=True, check=False, cwd="/", timeout=_SECONDS
    )
    return done.returncode, done.stdout, done.stderr
