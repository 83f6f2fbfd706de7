"""The lab's hosts as every contender uses them, and how everything that was put there is taken away again."""

from __future__ import annotations

import http.client
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from comparison_files import (
    BALANCER_PORT,
    CPUS,
    FOLDER,
    LABEL,
    MEMORY,
    WEB_PORT,
    balancer_yml,
    nginx_conf,
)
from page_load import VERSION
from reckoning import ComparisonError, Starts
from slipway_lab import access
from slipway_lab.state import Lab

# Containers of the reference stack.
EDGE, WEB = "wayfare-edge-1", "wayfare-web-(blue|green)-1-1"
TRIES = 3
READY_SECONDS = 60

Answer = TypeVar("Answer")

# Goes on after what fails, and says at the end that something did.
TIDY = f"""
exec >/dev/null
failed=0
trap failed=1 ERR
docker ps --all --quiet --filter label={LABEL} | xargs --no-run-if-empty docker rm --force --volumes
docker network ls --quiet --filter label={LABEL} | xargs --no-run-if-empty docker network rm
rm -rf {FOLDER}
systemctl reload slipway-firewall
exit $failed
"""
# Runs on a host, with the command that starts a replica and the replica's port as arguments.
START = """
import subprocess, sys, time, urllib.request
begun = time.monotonic()
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
while time.monotonic() - begun < 60:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/ready", timeout=1)
    except OSError:
        time.sleep(0.02)  # between two attempts
    else:
        print(time.monotonic() - begun)
        break
"""


@dataclass(frozen=True)
class Host:
    lab: Lab
    name: str

    @property
    def address(self) -> str:
        return self.lab.hosts[self.name]

    def __call__(self, command: str, stdin: str = "", timeout: float = 180) -> str:
        """Over a plain connection of its own each time, as a script of somebody's own would make it."""
        argv = [*access.ssh(self.lab, self.name), command]
        try:
            # In a session of its own: Ctrl-C is for this program alone, which tidies up then.
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise ComparisonError(f"`{command}` on {self.name} took {timeout:.0f} s", "Look there") from None
        if done.returncode:
            problem = f"`{command}` on {self.name} failed: {done.stderr.strip()[-1500:]}"
            raise ComparisonError(problem, f"Try it there: lab/lab ssh {self.name.split('.')[0][-1]}")
        return done.stdout.strip()

    def root(self, script: str, *arguments: str) -> str:
        return self(f"sudo bash -s -- {shlex.join(arguments)}", script)

    def write(self, name: str, content: str) -> None:
        self(f"sudo mkdir -p {FOLDER} && sudo tee {FOLDER}/{name} >/dev/null", content)

    def image(self, container: str) -> str:
        """The reference that the first container with a name like this runs from."""
        found = self(f"sudo docker ps --no-trunc --filter name='^{container}$' --format '{{{{.Image}}}}'")
        if not found:
            raise ComparisonError(
                f"{container} does not run on {self.name}", "Deploy the reference stack: make up"
            )
        return found.splitlines()[0]


def together(hosts: Sequence[Host], work: Callable[[Host], Answer]) -> list[Answer]:
    with ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(work, hosts))


def tidy(hosts: Sequence[Host]) -> None:
    """Take away whatever this program has put on the hosts, now or in a run that was killed."""
    together(hosts, lambda host: host.root(TIDY))


def open_ports(hosts: Sequence[Host], *rules: str) -> None:
    """Let the lab's own network in; the firewall's next reload, in `tidy`, knows nothing of it."""
    subnet = hosts[0].lab.subnet
    wanted = [f"tcp dport {{ {BALANCER_PORT}, {WEB_PORT} }}", *rules]
    commands = [f"nft insert rule inet slipway incoming ip saddr {subnet} {rule} accept" for rule in wanted]
    script = "\n".join(["set -e", *(shlex.join(command.split()) for command in commands)])
    together(hosts, lambda host: host.root(script))


def settled(hosts: Sequence[Host], version: str) -> None:
    """Return when every host's replica is ready, and is of this version."""
    deadline = time.monotonic() + READY_SECONDS
    waiting = list(hosts)
    while waiting and time.monotonic() < deadline:
        waiting = [host for host in waiting if _ready(host) != version]
        time.sleep(0.05)  # between two looks
    if waiting:
        names = ", ".join(host.name for host in waiting)
        raise ComparisonError(
            f"{version} is not ready on {names} after {READY_SECONDS} s",
            "Look there, and deploy the lab from this checkout: an older `web` does not say its version",
        )


def _ready(host: Host) -> str:
    connection = http.client.HTTPConnection(host.address, WEB_PORT, timeout=2)
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        return response.headers.get(VERSION, "") if response.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def starts(hosts: Sequence[Host], image: str) -> Starts:
    """Measure how long a replica needs on these hosts from `docker run` to its first good answer: medians."""
    alone = sorted(_start(hosts[-1], image) for _ in range(TRIES))
    at_once = sorted(max(together(hosts, lambda host: _start(host, image))) for _ in range(TRIES))
    return Starts(alone[TRIES // 2], at_once[TRIES // 2])


def _start(host: Host, image: str) -> float:
    name = "slipway-compare-start"
    run = f"docker run --detach --name {name} --label {LABEL} --publish 127.0.0.1:{WEB_PORT}:8080"
    limits = f"--cpus {CPUS} --memory {MEMORY} --init --read-only --tmpfs /tmp --cap-drop ALL"
    try:
        told = host(f"sudo python3 - {WEB_PORT} {run} {limits} {image} web", START)
    finally:
        host(f"sudo docker rm --force {name}")
    if not told:
        raise ComparisonError(f"a replica on {host.name} was not ready within 60 s", "Look at its log")
    return float(json.loads(told))


def start_balancer(hosts: Sequence[Host], image: str) -> None:
    """On the first host, where Slipway's edge is asked, too."""
    first = hosts[0]
    first.write("nginx.conf", nginx_conf([host.address for host in hosts]))
    first.write("balancer.yml", balancer_yml(image))
    first(f"sudo docker compose --file {FOLDER}/balancer.yml up --detach")
