"""Programs of the hosts, laid out as the role does."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
ROLE = CHECKOUT / "roles/host"
CORE = CHECKOUT / "plugins/module_utils/_core"


def installed(program: str, folder: Path) -> Path:
    """The folder that `python3 -I` runs."""
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    (folder / "core").mkdir(parents=True)
    shutil.copy(ROLE / f"files/{program}_main.py", folder / "__main__.py")
    for name in variables[f"_host_{program}_core"]:
        part = folder / f"core/{name}.py"
        part.parent.mkdir(exist_ok=True)
        shutil.copy(CORE / f"{name}.py", part)
    return folder
