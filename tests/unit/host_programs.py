"""Programs of the hosts, laid out as the module does."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.slipway.compose.plugins.plugin_utils.host_programs import sources

ROLE = Path(__file__).resolve().parents[2] / "roles/host"


def installed(program: str, folder: Path) -> Path:
    """The folder that `python3 -I` runs."""
    for path, source in sources(program).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / path)
    return folder
