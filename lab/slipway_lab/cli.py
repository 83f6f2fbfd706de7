"""The commands."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import access, engine, hosts, image, inventory, state
from .report import LabError, say

# Names below .localhost mean this machine to browsers and to curl, without any entry in /etc/hosts.
DOMAIN = "wayfare.localhost"
ENGINE_STATE = state.ROOT / "engine"


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return int(arguments.run(arguments) or 0)
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 1


def up(_arguments: argparse.Namespace) -> None:
    name = state.lab_name()
    docker = engine.ensure(ENGINE_STATE)
    _refuse_foreign(docker, name)
    known = _known(docker, name)
    count = state.host_count(known)
    lab = state.plan(name, count, known, _subnets(docker, name))
    state.save(lab)
    inventory.write(lab)
    access.ensure_keys(lab)
    host_image = image.ensure(docker)
    hosts.ensure_network(docker, lab)
    hosts.ensure_hosts(docker, lab, host_image)
    hosts.wait_for_ssh(docker, lab)
    _say_ports(lab)
    count_text = "1 host" if count == 1 else f"{count} hosts"
    say(f"{name} is up: {count_text} in {lab.subnet}; 127.0.0.1:{lab.https_port} is lab-1's port 443")


def down(arguments: argparse.Namespace) -> None:
    name = state.lab_name()
    docker = engine.find()
    if docker is None:
        if state.load(name):
            raise LabError(
                "No Docker engine answers, so the lab's containers cannot be removed",
                "Start the engine first",
            )
        say("no Docker engine answers and no lab is remembered: nothing to remove")
    else:
        _remove(docker, name, arguments)
    if arguments.engine:
        engine.stop(ENGINE_STATE)


def _remove(docker: engine.Docker, name: str, arguments: argparse.Namespace) -> None:
    _refuse_foreign(docker, name)
    removed = hosts.remove(docker, name)
    shutil.rmtree(state.ROOT / name, ignore_errors=True)
    shutil.rmtree(inventory.folder(name), ignore_errors=True)
    say(f"{name}: removed {', '.join(removed) or 'nothing, there was no such lab'}")
    if arguments.images:
        image.remove(docker)
        docker.attempt("volume", "rm", hosts.APT_CACHE)
        say("removed host images and downloaded packages")
    elif removed:
        say(
            "host images and downloaded packages stay for next time: `lab/lab down --images` removes them too"
        )


def status(_arguments: argparse.Namespace) -> int:
    name = state.lab_name()
    lab, docker = state.load(name), engine.find()
    if lab is None or docker is None:
        say(f"{name} is not up: `lab/lab up` makes it")
        return 1
    found = hosts.existing(docker, name)
    for host, address in lab.hosts.items():
        container = found.get(lab.container(host))
        print(f"{host}  {address}  {container['State']['Status'] if container else 'missing'}")
    print(f"127.0.0.1:{lab.https_port} -> lab-1:443, 127.0.0.1:{lab.http_port} -> lab-1:80")
    return 0 if all(_runs(found.get(lab.container(host))) for host in lab.hosts) else 1


def list_hosts(_arguments: argparse.Namespace) -> None:
    for host, address in _lab().hosts.items():
        print(f"{address} {host}")


def urls(_arguments: argparse.Namespace) -> None:
    """The deployed application's address, and the CA that vouches for it, fetched from host 1."""
    lab = _lab()
    read = [*access.ssh(lab, next(iter(lab.hosts))), "sudo", "cat", "/opt/wayfare/config/host/tls/ca.crt"]
    found = subprocess.run(read, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
    if found.returncode:
        raise LabError("host 1 has no stack yet", "Run `make deploy` first")
    authority = lab.folder / "ca.crt"
    authority.write_bytes(found.stdout)
    print(f"\n  https://{DOMAIN}:{lab.https_port}/   signed by {authority.relative_to(state.CHECKOUT)}:")
    print(f"  curl --cacert {authority.relative_to(state.CHECKOUT)} https://{DOMAIN}:{lab.https_port}/api/me")
    console = f"https://ops.{DOMAIN}:{lab.https_port}/"
    print(f"  {console}   dashboards, alerts, logs. User: operator; password:")
    vault = (lab.folder / "secrets.vault.yml").relative_to(state.CHECKOUT)
    print(f"  .venv/bin/ansible-vault view {vault} | sed -n 's/^  console_password: //p'")
    print("  make status   shows every component and service on every host\n")


def ssh(arguments: argparse.Namespace) -> None:
    lab = _lab()
    host = f"lab-{arguments.number}.slipway.test"
    if host not in lab.hosts:
        raise LabError(f"{lab.name} has no {host}", f"Use a number from 1 to {len(lab.hosts)}")
    command = [*access.ssh(lab, host), *arguments.command]
    os.execvp(command[0], command)


def _lab() -> state.Lab:
    lab = state.load(state.lab_name())
    if lab is None:
        raise LabError(f"{state.lab_name()} is not up", "Run lab/lab up first")
    return lab


def _runs(container: dict[str, Any] | None) -> bool:
    return bool(container and container["State"]["Running"])


def _known(docker: engine.Docker, name: str) -> state.Lab | None:
    """What the state folder remembers or, if that was deleted, what the network's labels do."""
    lab, found = state.load(name), hosts.network(docker, name)
    if lab is None and found:
        https, http = found["Labels"][hosts.PORTS].split(",")
        subnet = found["IPAM"]["Config"][0]["Subnet"]
        addresses = state.addresses(subnet, len(hosts.existing(docker, name)))
        return state.Lab(name, subnet, addresses, int(https), int(http))
    return lab


def _subnets(docker: engine.Docker, name: str) -> list[str]:
    ids = docker.lines("network", "ls", "--quiet")
    template = "{{.Name}}{{range .IPAM.Config}} {{.Subnet}}{{end}}"
    # It fails where one is gone since they were listed; the others are described all the same.
    described = docker.attempt("network", "inspect", "--format", template, *ids).stdout.decode()
    rows = [line.split() for line in described.splitlines()]
    return [subnet for network, *subnets in rows if network != f"slipway-{name}" for subnet in subnets]


def _refuse_foreign(docker: engine.Docker, name: str) -> None:
    """Two checkouts may not fight for one lab; a checkout that is gone has left its lab to whoever asks."""
    found = hosts.network(docker, name)
    owner = (found["Labels"] if found else {}).get(hosts.OWNER, str(state.CHECKOUT))
    if owner != str(state.CHECKOUT) and Path(owner).is_dir():
        raise LabError(
            f"The lab {name!r} belongs to the checkout {owner}",
            f"Take it down there (cd {owner} && lab/lab down), or choose another name: SLIPWAY_LAB=other",
        )


def _say_ports(lab: state.Lab) -> None:
    for port, usual in ((lab.https_port, state.HTTPS_PORT), (lab.http_port, state.HTTP_PORT)):
        if port != usual:
            say(f"port {usual} is taken on 127.0.0.1: this lab uses {port} instead")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab/lab",
        description="Debian hosts with systemd as containers on one Docker engine, reached like VMs.",
        epilog="SLIPWAY_LAB: the lab's name (lab). SLIPWAY_LAB_HOSTS: how many hosts (3, at most 6).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("up", help="make the lab, or what is missing of it").set_defaults(run=up)
    removal = commands.add_parser("down", help="remove the lab and everything that belongs to it")
    removal.add_argument(
        "--images", action="store_true", help="remove host images and downloaded packages too"
    )
    removal.add_argument("--engine", action="store_true", help="stop the Docker engine if the lab started it")
    removal.set_defaults(run=down)
    commands.add_parser("status", help="show the hosts").set_defaults(run=status)
    commands.add_parser("hosts", help="print addresses and names as in /etc/hosts").set_defaults(
        run=list_hosts
    )
    commands.add_parser("urls", help="print where host 1's ports 443 and 80 are reached").set_defaults(
        run=urls
    )
    shell = commands.add_parser("ssh", help="log in to host N, or run a command there")
    shell.add_argument("number", type=int, metavar="N")
    shell.add_argument("command", nargs=argparse.REMAINDER)
    shell.set_defaults(run=ssh)
    return parser
