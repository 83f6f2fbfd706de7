"""Run commands, and read what they answer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from .report import LabError


def run(argv: Sequence[str], remedy: str, data: bytes | None = None) -> str:
    """Run a command that must succeed and return its output."""
    result = attempt(argv, data)
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {result.returncode}"
        raise LabError(f"`{' '.join(argv[:2])}` failed: {reason.rstrip('.')}", remedy)
    return result.stdout.decode()


def attempt(argv: Sequence[str], data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose failure is an answer too."""
    try:
        return subprocess.run(argv, check=False, capture_output=True, input=data or b"")
    except FileNotFoundError:
        return subprocess.CompletedProcess(argv, 127, b"", f"{argv[0]} is not installed".encode())


def as_root(argv: Sequence[str]) -> list[str]:
    """The same command with the rights of root."""
    return list(argv) if os.geteuid() == 0 else ["sudo", *argv]
