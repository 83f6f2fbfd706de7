"""The environment that the failure tests hurt: told by variables, so that they run on any lab.

SLIPWAY_LAB: the machines (lab). SLIPWAY_ENVIRONMENT: the inventory's environment (lab).
ANSIBLE_INVENTORY: where that environment stands (inventories/<environment>).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY_SECONDS = 600


@dataclass(frozen=True)
class Run:
    """One `ansible-playbook deploy.yml`, ended; `output` has single spaces where callbacks break lines."""

    status: int
    output: str
    seconds: float

    @property
    def changed(self) -> dict[str, int]:
        """Changes by host, as the recap tells them."""
        return {host: int(count) for host, count in re.findall(r"(\S+) : ok=\d+ changed=(\d+)", self.output)}

    @property
    def problem(self) -> str:
        """What the operator reads about the failure, for an assertion's message."""
        found = self.output.find("fatal:")
        return self.output[max(found, 0) :][:3000]


# Extra variables, then extra arguments.
Deploy = Callable[..., Run]


@dataclass(frozen=True)
class Machine:
    """One host of the environment: its inventory name, its number in the lab, its container there."""

    name: str
    number: int
    container: str

    def __call__(self, command: str) -> str:
        argv = [str(CHECKOUT / "lab/lab"), "ssh", str(self.number), command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, f"`{command}` on {self.name}: {done.stderr}"
        return done.stdout.strip()


@dataclass
class Site:
    """The environment, its machines, and the command that deploys it."""

    environment: str
    inventory: Path
    lab: Mapping[str, Any]
    machines: list[Machine] = field(default_factory=list)

    @property
    def stack(self) -> dict[str, Any]:
        """The stack definition as the inventory has it; a copy, free to be changed."""
        path = self.inventory / "group_vars" / self.environment / "stack.yml"
        stack: dict[str, Any] = yaml.safe_load(path.read_text())["stack"]
        return stack

    def deploy(
        self,
        log: Path,
        variables: Mapping[str, Any] | None = None,
        *more: str,
        playbook: str = "deploy.yml",
    ) -> Run:
        begun = time.monotonic()
        with self.deploying(log, variables, *more, playbook=playbook) as process:
            status = process.wait(timeout=DEPLOY_SECONDS)
        return Run(status, " ".join(log.read_text().split()), time.monotonic() - begun)

    @contextmanager
    def deploying(
        self,
        log: Path,
        variables: Mapping[str, Any] | None = None,
        *more: str,
        playbook: str = "deploy.yml",
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A deployment in a process group of its own, of which nothing is left at the end."""
        command = ["ansible-playbook", playbook, "-l", self.environment, *more]
        if variables:
            extra = log.with_suffix(".json")
            extra.write_text(json.dumps(variables))
            command += ["-e", f"@{extra}"]
        environment = {**os.environ, "ANSIBLE_INVENTORY": str(self.inventory), "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def state(self) -> dict[str, str]:
        """What serves, machine by machine: containers by id, and the release that `current` names."""
        folder = f"/opt/{self.stack['name']}"
        containers = "sudo docker ps --no-trunc --format '{{.ID}} {{.Names}}' | sort"
        told = f"sudo readlink {folder}/current; {containers}"
        return {machine.name: machine(told) for machine in self.machines}


def site_under_test() -> Site:
    name = os.environ.get("SLIPWAY_LAB") or "lab"
    environment = os.environ.get("SLIPWAY_ENVIRONMENT") or "lab"
    inventory = Path(os.environ.get("ANSIBLE_INVENTORY") or CHECKOUT / "inventories" / environment)
    lab = json.loads((CHECKOUT / ".lab" / name / "lab.json").read_text())
    listed = subprocess.run(
        ["ansible-inventory", "-i", str(inventory), "--graph", environment],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    names = re.findall(r"\|--([^@\s]+)$", listed.stdout, re.MULTILINE)
    machines = [Machine(host, number, f"slipway-{name}-{number}") for number, host in enumerate(names, 1)]
    return Site(environment, inventory.resolve(), lab, machines)
