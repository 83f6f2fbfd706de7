"""Hosts of the same image beside the lab's, provisioned the same way: for what would disturb the stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comparison_hosts import Host, together
from reckoning import ComparisonError
from slipway_lab import access, state

TOOLS = Path(sys.executable).parent
# Nobody listens there: an engine that asks for a newer image is told at once that there is none.
NOWHERE = "127.0.0.1:1/slipway-compare"
SECONDS = 900


def make(name: str, count: int, engine_settings: Mapping[str, Any]) -> list[Host]:
    _run(name, [str(state.CHECKOUT / "lab/lab"), "up"], count)
    variables = json.dumps({"host_engine_settings": engine_settings})
    inventory = f".lab/inventory-{name}"
    provision = ["-i", inventory, "playbooks/provision.yml", "-l", "lab", "-e", variables]
    _run(name, [str(TOOLS / "ansible-playbook"), *provision], count)
    lab = state.load(name)
    assert lab
    return [Host(lab, host) for host in lab.hosts]


def remove(name: str) -> None:
    """Take them away, if there are any."""
    if (lab := state.load(name)) is not None:
        _run(name, [str(state.CHECKOUT / "lab/lab"), "down"], len(lab.hosts))


def carry(source: Host, reference: str, hosts: Sequence[Host], name: str) -> str:
    """Bring a host's image to others that reach no registry; return what it is called there."""
    called = f"{NOWHERE}/{name}:1"
    number = source(f"sudo docker image inspect --format '{{{{.Id}}}}' {reference}")
    with tempfile.TemporaryFile() as archive:
        _stream(source, f"sudo docker save {number}", stdout=archive)
        for host in hosts:
            archive.seek(0)
            _stream(host, "sudo docker load", stdin=archive)
    together(hosts, lambda host: host(f"sudo docker tag {number} {called}"))
    return called


def _stream(host: Host, command: str, **streams: Any) -> None:
    argv = [*access.ssh(host.lab, host.name), command]
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    done = subprocess.run(argv, **{**silent, **streams}, timeout=SECONDS, check=False, start_new_session=True)
    if done.returncode:
        raise ComparisonError(f"`{command}` on {host.name} ended with {done.returncode}", "Try it there")


def _run(name: str, command: Sequence[str], count: int) -> None:
    done = subprocess.run(
        command,
        cwd=state.CHECKOUT,
        env={**os.environ, "SLIPWAY_LAB": name, "SLIPWAY_LAB_HOSTS": str(count), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        problem = f"{Path(command[0]).name} for {name} ended with {done.returncode}:"
        raise ComparisonError(f"{problem} {(done.stdout + done.stderr)[-1500:]}", "Correct the cause")
