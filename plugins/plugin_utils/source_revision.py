"""Which source a run deploys from."""

from __future__ import annotations

import subprocess
from pathlib import Path


def revision(checkout: Path) -> str:
    """`git describe` of the checkout, with `-dirty` where files are changed; "" where there is no git."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--tags", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
