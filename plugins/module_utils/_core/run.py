"""The one way the core starts a process: a runner that is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Run(Protocol):
    """Run a command to its end and return exit status, standard output and standard error."""

    def __call__(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]: ...
