"""An inventory of exactly this lab's hosts, for labs that have not three of them.

`ansible-playbook -i .lab/inventory-<name> deploy.yml -l lab` uses it in place of `inventories/lab`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .state import CHECKOUT, ROOT, Lab

VARIABLES = CHECKOUT / "inventories" / "lab" / "group_vars"


def folder(name: str) -> Path:
    return ROOT / f"inventory-{name}"


def write(lab: Lab) -> None:
    target = folder(lab.name)
    target.mkdir(parents=True, exist_ok=True)
    names = "".join(f"        {host}:\n" for host in lab.hosts)
    text = f"---\nenvironments:\n  children:\n    lab:\n      hosts:\n{names}"
    (target / "hosts.yml").write_text(text)
    link = target / "group_vars"
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    if not link.is_symlink():
        link.symlink_to(VARIABLES)
