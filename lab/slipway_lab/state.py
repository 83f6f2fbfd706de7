"""What a lab is, remembered in `.lab/<name>/lab.json`."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from .report import LabError

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = CHECKOUT / ".lab"
MOST_HOSTS = 6
HTTPS_PORT, HTTP_PORT = 8443, 8080


@dataclass(frozen=True)
class Lab:
    """One lab: `hosts` maps a host's name to its address; the two ports are those of host 1 on 127.0.0.1."""

    name: str
    subnet: str
    hosts: dict[str, str]
    https_port: int
    http_port: int

    @property
    def folder(self) -> Path:
        return ROOT / self.name

    def container(self, host: str) -> str:
        return f"{self.prefix}-{host.split('.', maxsplit=1)[0].removeprefix('lab-')}"

    @property
    def prefix(self) -> str:
        return f"slipway-{self.name}"


def lab_name() -> str:
    name = os.environ.get("SLIPWAY_LAB") or "lab"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,20}", name) or name == "engine" or name.startswith("inventory-"):
        raise LabError(
            f"SLIPWAY_LAB is {name!r}",
            "Use small letters, digits and dashes, at most 21, and not `engine` or `inventory-…`",
        )
    return name


def host_count(known: Lab | None) -> int:
    """How many hosts are asked for: by the environment, else as many as there were, else three."""
    remembered = len(known.hosts) if known else 0
    text = os.environ.get("SLIPWAY_LAB_HOSTS") or str(remembered or 3)
    if not text.isdigit() or not 1 <= int(text) <= MOST_HOSTS:
        raise LabError(f"SLIPWAY_LAB_HOSTS is {text!r}", f"Use a number from 1 to {MOST_HOSTS}")
    return int(text)


def load(name: str) -> Lab | None:
    path = ROOT / name / "lab.json"
    return Lab(**json.loads(path.read_text())) if path.exists() else None


def save(lab: Lab) -> None:
    lab.folder.mkdir(parents=True, exist_ok=True)
    temporary = lab.folder / "lab.json.new"
    temporary.write_text(json.dumps(asdict(lab), indent=2) + "\n")
    temporary.replace(lab.folder / "lab.json")


def plan(name: str, hosts: int, known: Lab | None, networks: Iterable[str]) -> Lab:
    """The lab as asked for: what is remembered stays, what is new gets the first free subnet and ports."""
    if known:
        return Lab(name, known.subnet, addresses(known.subnet, hosts), known.https_port, known.http_port)
    subnet = _free_subnet(name, list(networks))
    reserved = {port for lab in _others(name) for port in (lab.https_port, lab.http_port)}
    https = _free_port(HTTPS_PORT, reserved)
    return Lab(name, subnet, addresses(subnet, hosts), https, _free_port(HTTP_PORT, reserved | {https}))


def addresses(subnet: str, hosts: int) -> dict[str, str]:
    first = ip_network(subnet).network_address + 11
    return {f"lab-{index + 1}.slipway.test": str(first + index) for index in range(hosts)}


def _others(name: str) -> list[Lab]:
    names = sorted(path.parent.name for path in ROOT.glob("*/lab.json"))
    return [lab for other in names if other != name and (lab := load(other))]


def _free_subnet(name: str, networks: list[str]) -> str:
    remembered = [lab.subnet for lab in _others(name)]
    taken = [
        *_routes(),
        *(IPv4Network(network) for network in [*networks, *remembered] if ":" not in network),
    ]
    first = 0 if name == "lab" else 1
    for third in range(first, 256):
        candidate = IPv4Network(f"10.77.{third}.0/24")
        if not any(candidate.overlaps(network) for network in taken):
            return str(candidate)
    raise LabError("No network of 10.77.0.0/16 is free", "Take down labs that nobody needs: lab/lab down")


def _routes() -> list[IPv4Network]:
    """Networks this machine reaches otherwise than by its default route, a company's VPN for example."""
    rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    networks = []
    for row in rows:
        address, mask = (int.from_bytes(bytes.fromhex(row[column]), "little") for column in (1, 7))
        if mask:
            networks.append(IPv4Network((address, mask.bit_count())))
    return networks


def _free_port(wanted: int, reserved: set[int]) -> int:
    for port in range(wanted, wanted + 200):
        if port not in reserved and _is_free(port):
            return port
    raise LabError(f"No port from {wanted} to {wanted + 199} is free on 127.0.0.1", "End what listens there")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
