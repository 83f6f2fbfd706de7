"""The lab under test: where its hosts are, and how a test looks at them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import testinfra
import yaml
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[3]
STACK_FILE = CHECKOUT / "inventories/lab/group_vars/lab/stack.yml"
TOOLS = Path(sys.executable).parent


@dataclass(frozen=True)
class Container:
    """One container as its engine describes it."""

    host: str
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.facts["Name"]).removeprefix("/")

    @property
    def component(self) -> str:
        return str(self.facts["Config"]["Labels"].get("com.docker.compose.service", ""))

    @property
    def started(self) -> str:
        return str(self.facts["State"]["StartedAt"])

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"


@dataclass(frozen=True)
class Lab:
    name: str
    addresses: Mapping[str, str]
    https_port: int
    http_port: int

    @classmethod
    def load(cls, name: str) -> Lab:
        facts = json.loads((CHECKOUT / ".lab" / name / "lab.json").read_text())
        return cls(name, facts["hosts"], facts["https_port"], facts["http_port"])

    @property
    def folder(self) -> Path:
        return CHECKOUT / ".lab" / self.name

    @cached_property
    def stack(self) -> dict[str, Any]:
        return dict(yaml.safe_load(STACK_FILE.read_text())["stack"])

    @cached_property
    def hosts(self) -> Mapping[str, Host]:
        known = f"-o UserKnownHostsFile={self.folder}/known_hosts"
        strict = "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
        return {
            name: testinfra.get_host(
                f"ssh://deploy@{address}",
                ssh_identity_file=str(self.folder / "id_ed25519"),
                ssh_extra_args=f"-F none -o LogLevel=ERROR {known} {strict}",
                sudo=True,
                timeout=60,
            )
            for name, address in self.addresses.items()
        }

    def containers(self) -> list[Container]:
        """Every container of every host, stopped ones included."""
        return [
            Container(name, facts)
            for name, host in self.hosts.items()
            for facts in json.loads(host.check_output("docker inspect $(docker ps --all --quiet --no-trunc)"))
        ]

    def in_container(self, host: str, component: str, command: str) -> str:
        return str(self.hosts[host].check_output(f"docker exec {self.stack['name']}-{component}-1 {command}"))

    def host_of(self, component: str) -> str:
        return next(one.host for one in self.containers() if one.component == component)

    def as_root(self, host: str, script: str) -> str:
        """Run a script that may hold secrets: it goes by standard input, so that no process list shows it."""
        number = host.split(".", maxsplit=1)[0].removeprefix("lab-")
        command = [str(CHECKOUT / "lab/lab"), "ssh", number, "sudo", "bash", "-s"]
        return self.run(command, timeout=600, stdin=script).stdout

    def playbook(
        self, *arguments: str, timeout: float = 600, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.folder.parent / f"inventory-{self.name}")]
        return self.run([*command, "-l", "lab", *arguments], timeout=timeout, check=check)

    def run(
        self, command: Sequence[str], timeout: float, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=CHECKOUT,
            env=os.environ
            | {"SLIPWAY_LAB": self.name, "PATH": f"{TOOLS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
        )
        if check and done.returncode:
            raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done
