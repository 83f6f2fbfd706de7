"""The hosts: what is desired, what is there, and the difference made good."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .access import seed, ssh
from .engine import Docker
from .report import LabError, say, step
from .shell import attempt
from .state import CHECKOUT, Lab

LABEL = "io.slipway.lab"
RECIPE = f"{LABEL}.recipe"
OWNER = f"{LABEL}.checkout"
PORTS = f"{LABEL}.ports"
APT_CACHE = "slipway-lab-apt"
SSH_SECONDS = 90

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# A machine with systemd and an engine of its own. --privileged would ask for CAP_SYS_RESOURCE, which not
# every machine has itself; inner containers do not start in a private cgroup namespace.
DROP = "--cap-drop=SYS_RESOURCE"
RUN_OPTIONS = (
    "--cap-add=ALL",
    DROP,
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp:exec",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--cgroupns=host",
    "--stop-signal=SIGRTMIN+3",
)
INIT = ("/sbin/init", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1")


def existing(docker: Docker, lab_name: str) -> dict[str, dict[str, Any]]:
    """Containers of this lab as the engine describes them, by name."""
    ids = docker.lines("ps", "--all", "--quiet", "--filter", f"label={LABEL}={lab_name}")
    described = json.loads(docker("inspect", *ids)) if ids else []
    return {container["Name"].lstrip("/"): container for container in described}


def network(docker: Docker, lab_name: str) -> dict[str, Any] | None:
    """The lab's network as the engine describes it, refused if it is somebody else's."""
    found = docker.attempt("network", "inspect", f"slipway-{lab_name}")
    if found.returncode:
        return None
    described: dict[str, Any] = json.loads(found.stdout)[0]
    if described["Labels"].get(LABEL) != lab_name:
        raise LabError(
            f"There is a network slipway-{lab_name} that no lab made", "Choose another name in SLIPWAY_LAB"
        )
    return described


def ensure_network(docker: Docker, lab: Lab) -> None:
    if network(docker, lab.name) is None:
        labels = _labels(lab, {PORTS: f"{lab.https_port},{lab.http_port}"})
        docker("network", "create", *labels, f"--subnet={lab.subnet}", lab.prefix)


def ensure_hosts(docker: Docker, lab: Lab, image: str) -> None:
    """Create, replace or start hosts until all that are declared run, and none that is not."""
    found = existing(docker, lab.name)
    wanted = {lab.container(host): host for host in lab.hosts}
    for surplus in sorted(found.keys() - wanted.keys()):
        say(f"removing {surplus}, which is no longer declared")
        docker("rm", "--force", surplus)
        docker.attempt("volume", "rm", f"{surplus}-docker")
    changes = [
        (name, host) for name, host in wanted.items() if not _is_right(found.get(name), lab, host, image)
    ]
    if changes:
        with step(f"starting {', '.join(host for _name, host in changes)}"):
            _in_parallel(lambda pair: _bring_up(docker, lab, pair[1], image, found.get(pair[0])), changes)


def wait_for_ssh(docker: Docker, lab: Lab) -> None:
    """Return when every host lets the operator in."""
    answers = _in_parallel(lambda host: _can_log_in(lab, host), lab.hosts)
    silent = [host for host, answer in zip(lab.hosts, answers, strict=True) if not answer]
    if silent:
        with step(f"waiting for SSH of {', '.join(silent)}"):
            _in_parallel(lambda host: _seed_until_ssh(docker, lab, host), silent)


def remove(docker: Docker, lab_name: str) -> list[str]:
    """Remove every container, volume and network that carries this lab's label; say what that was."""
    match = ("--filter", f"label={LABEL}={lab_name}", "--quiet")
    containers = docker.lines("ps", "--all", *match)
    if containers:
        docker("rm", "--force", "--volumes", *containers)
    volumes = docker.lines("volume", "ls", *match)
    if volumes:
        docker("volume", "rm", *volumes)
    networks = docker.lines("network", "ls", *match)
    if networks:
        docker("network", "rm", *networks)
    kinds = {"container": containers, "volume": volumes, "network": networks}
    return [f"{len(ids)} {kind}{'' if len(ids) == 1 else 's'}" for kind, ids in kinds.items() if ids]


def _is_right(container: dict[str, Any] | None, lab: Lab, host: str, image: str) -> bool:
    if container is None:
        return False
    right_recipe = container["Config"]["Labels"].get(RECIPE) == _recipe(lab, host, image)
    return bool(right_recipe and container["State"]["Running"] and not container["State"]["Paused"])


def _bring_up(docker: Docker, lab: Lab, host: str, image: str, container: dict[str, Any] | None) -> None:
    name = lab.container(host)
    recipe = _recipe(lab, host, image)
    if container and container["Config"]["Labels"].get(RECIPE) != recipe:
        say(f"{host} was made by an older recipe: made anew, its Docker volumes stay")
        docker("rm", "--force", name)
        container = None
    if container is None:
        labels = _labels(lab, {RECIPE: recipe})
        docker("volume", "create", *_labels(lab), f"{name}-docker")
        docker("volume", "create", f"--label={LABEL}.cache=apt", APT_CACHE)
        _create(docker, [*labels, *_create_options(lab, host), image, *INIT])
    elif container["State"]["Paused"]:
        docker("unpause", name)
    docker("start", name)
    _seed(docker, lab, host)


def _create(docker: Docker, options: list[str]) -> None:
    made = docker.attempt("create", *options)
    if b"invalid CapDrop" in made.stderr:
        # Where the machine lacks the capability, a newer engine leaves it out of ALL and refuses to drop it.
        docker("create", *(option for option in options if option != DROP))
    elif made.returncode:
        raise LabError(
            f"A host cannot be created: {made.stderr.decode(errors='replace').strip().rstrip('.')}",
            "Look at the engine with `docker info`",
        )


def _create_options(lab: Lab, host: str) -> list[str]:
    name = lab.container(host)
    ports = []
    if host == next(iter(lab.hosts)):
        ports = [f"--publish=127.0.0.1:{lab.https_port}:443", f"--publish=127.0.0.1:{lab.http_port}:80"]
    return [
        f"--name={name}",
        f"--hostname={host}",
        f"--network={lab.prefix}",
        f"--ip={lab.hosts[host]}",
        f"--network-alias={host}",
        f"--volume={name}-docker:/var/lib/docker",
        f"--volume={APT_CACHE}:/var/cache/apt-shared",
        *ports,
        *RUN_OPTIONS,
    ]


def _recipe(lab: Lab, host: str, image: str) -> str:
    text = json.dumps([image, *_create_options(lab, host), *INIT])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _labels(lab: Lab, more: dict[str, str] | None = None) -> list[str]:
    labels = {LABEL: lab.name, OWNER: str(CHECKOUT), **(more or {})}
    return [f"--label={key}={value}" for key, value in labels.items()]


def _seed(docker: Docker, lab: Lab, host: str) -> None:
    # Not `docker cp`: it leaks cgroup mounts in a running systemd host.
    docker(
        "exec",
        "--interactive",
        lab.container(host),
        "tar",
        "--extract",
        "--directory=/",
        data=seed(lab, host),
    )


def _can_log_in(lab: Lab, host: str) -> bool:
    return attempt([*ssh(lab, host), "true"]).returncode == 0


def _seed_until_ssh(docker: Docker, lab: Lab, host: str) -> None:
    # Its keys may be those of a state folder that was deleted, and sshd may be punishing us for ours.
    _seed(docker, lab, host)
    docker.attempt("exec", lab.container(host), "systemctl", "try-restart", "ssh")
    deadline = time.monotonic() + SSH_SECONDS
    while time.monotonic() < deadline:
        if _can_log_in(lab, host):
            return
        time.sleep(0.3)  # between two attempts to log in
    raise LabError(
        f"{host} did not let {' '.join(ssh(lab, host)[-1:])} in within {SSH_SECONDS} s",
        f"Look inside: docker exec {lab.container(host)} systemctl status seed ssh",
    )


def _in_parallel(work: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    with ThreadPoolExecutor(max_workers=6) as pool:
        return list(pool.map(work, items))
