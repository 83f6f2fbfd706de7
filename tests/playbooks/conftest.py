"""Real `ansible-playbook` runs on an environment whose hosts must never be contacted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


class Unsafe(str):
    """A text that is written with Ansible's mark, so that Ansible fills in nothing."""

    __slots__ = ()


yaml.SafeDumper.add_representer(Unsafe, lambda dumper, it: dumper.represent_scalar("!unsafe", str(it)))


@dataclass(frozen=True)
class Run:
    status: int
    output: str


@dataclass
class Site:
    """An inventory with one environment, `live`, and a checkout for its files."""

    folder: Path
    inventory: dict[str, Any]
    stack: Any

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.vault.yml"

    def run(self, playbook: str, *arguments: str, limit: str = "live") -> Run:
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(self.inventory, sort_keys=False))
        (self.folder / "group_vars/live.yml").write_text(
            yaml.safe_dump({"stack": self.stack, "slipway_checkout": str(self.folder)}, sort_keys=False)
        )
        limits = ["-l", limit] if limit else []
        command = [
            "ansible-playbook",
            f"playbooks/{playbook}.yml",
            "-i",
            str(self.folder),
            *limits,
            *arguments,
        ]
        environment = {**os.environ, "SLIPWAY_VAULT_PASSWORD_FILE": str(self.folder / "password.txt")}
        done = subprocess.run(
            command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        # Callbacks break lines as they like.
        return Run(done.returncode, " ".join((done.stdout + done.stderr).split()))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    contact = tmp_path / "contacted.txt"
    ssh = tmp_path / "group_vars/ssh.sh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >>{contact}\nexit 255\n')
    ssh.chmod(0o755)
    (tmp_path / "password.txt").write_text("of the tests\n")
    folder = tmp_path / "group_vars/app"
    folder.mkdir()
    for name in ("Dockerfile", "000001_users.up.sql", "000001_users.down.sql"):
        (folder / name).touch()
    hosts = {f"app-{number}.example.com": {"ansible_host": f"192.0.2.{number}"} for number in (1, 2, 3)}
    live = {"hosts": hosts, "vars": {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh)}}
    service = {"build": "group_vars/app", "port": 8080, "health_path": "/ready", "route": {"path": "/"}}
    service |= {"database": "shop", "migrations": "group_vars/app", "secrets": ["session_key"]}
    stack = {"name": "shop", "domain": "shop.example.com", "services": {"web": service}}
    stack["secrets"] = {"session_key": {"generate": 32}}
    yield Site(tmp_path, {"environments": {"children": {"live": live}}}, stack)
    assert not contact.exists(), f"a host was contacted: {contact.read_text()}"
