#!/usr/bin/env python3
"""Copy inventories/production and fill it in, as a user does who has three bare machines and an SSH key.

usage: fill_inventory.py LAB FOLDER   (LAB: the machines, made by `SLIPWAY_LAB=LAB lab/lab up`)
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "inventories/production"

# What a user of machines without a clock and kernel of their own would set; nothing is about the stack.
HOST = """\
---
host_time_sync: none
host_sysctl:
  net.core.somaxconn: 4096
  net.ipv4.tcp_keepalive_time: 600
host_container_limits:
  nofile: {Name: nofile, Soft: 16384, Hard: 16384}
"""


def fill(machines: Path, folder: Path) -> None:
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.vault.yml"))
    addresses = list(json.loads((machines / "lab.json").read_text())["hosts"].values())
    hosts = folder / "hosts.yml"
    text = hosts.read_text()
    for number, address in enumerate(addresses, start=11):
        text = _replaced(text, f"192.0.2.{number}", address)
    hosts.write_text(text)
    connection = folder / "group_vars/production/connection.yml"
    connection.write_text(_replaced(connection.read_text(), "ansible_user: admin", _ssh(machines)))
    (folder / "group_vars/production/host.yml").write_text(HOST)


def _ssh(machines: Path) -> str:
    options = (
        f"-o UserKnownHostsFile={machines}/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    )
    return (
        "ansible_user: deploy\n"
        f"ansible_ssh_private_key_file: {machines}/id_ed25519\n"
        f'ansible_ssh_common_args: "{options}"'
    )


def _replaced(text: str, old: str, new: str) -> str:
    """A placeholder that is gone from the example must be noticed, not passed over."""
    if text.count(old) != 1:
        sys.exit(f"{old!r} stands {text.count(old)} times in {EXAMPLE}. Correct this script.")
    return text.replace(old, new)


if __name__ == "__main__":
    lab, target = sys.argv[1:]
    fill(CHECKOUT / ".lab" / lab, Path(target))
