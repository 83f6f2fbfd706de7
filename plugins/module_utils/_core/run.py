"""The one way the core starts a process: a runner that is handed in, a module's or a program's own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Protocol


class Run(Protocol):
    """Run a command to its end and return exit status, standard output and standard error."""

    def __call__(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]: ...


def process(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    """A runner without Ansible. What a wrong key makes of a file is no text: it is replaced, not refused."""
    done = subprocess.run(
        list(argv), input=stdin or "", capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout, done.stderr
