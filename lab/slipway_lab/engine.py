"""The outer Docker engine: used if there is one, else installed and started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .report import LabError, say, step
from .shell import as_root, attempt, run

# Command -> package that brings it.
TOOLS = {"mmdebstrap": "mmdebstrap", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
ENGINE = {"dockerd": "docker.io", "iptables": "iptables"}
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
REMEDY = "Look at the engine with `docker info`"
START_SECONDS = 60


class Docker:
    """A Docker command line that reaches an engine."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)

    def answers(self) -> bool:
        return attempt([*self._argv, "version", "--format", "{{.Server.Version}}"]).returncode == 0

    def __call__(self, *arguments: str, data: bytes | None = None) -> str:
        return run([*self._argv, *arguments], REMEDY, data)

    def attempt(self, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return attempt([*self._argv, *arguments], data)

    def lines(self, *arguments: str) -> list[str]:
        return self(*arguments).splitlines()


def find() -> Docker | None:
    """An engine that answers, as this user or as root."""
    for docker in (Docker(["docker"]), Docker(as_root(["docker"]))):
        if docker.answers():
            return docker
    return None


def ensure(state: Path) -> Docker:
    """An engine that answers and the tools beside it; installs the packages of what is missing."""
    docker = find()
    missing = _missing_packages(TOOLS if docker else {**TOOLS, **ENGINE})
    if not DEBIAN_KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        install(missing)
    if docker:
        return docker
    if _missing_packages({"docker": "docker-cli"}):
        # Debian 13 has the client in a package of its own, others in docker.io.
        install(["docker-cli"])
    with step("starting the Docker engine"):
        _start(state)
        return _wait()


def install(packages: Sequence[str]) -> None:
    """Install Debian packages that this machine lacks."""
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    with step(f"installing {' '.join(packages)}"):
        run(as_root([*apt, "update"]), "Check this machine's package sources (/etc/apt)")
        run(as_root([*apt, "install", "--yes", "--no-install-recommends", *packages]), "Install them by hand")


def stop(state: Path) -> None:
    """Stop an engine that the lab started, unless containers still run on it."""
    pidfile = state / "dockerd.pid"
    docker = find()
    if not pidfile.exists():
        say("the Docker engine was not started by the lab: left alone")
        return
    if docker and docker.lines("ps", "--quiet"):
        raise LabError("Containers still run on the Docker engine", "Stop them, or leave the engine running")
    pid = _own_engine(state)
    if pid:
        run(as_root(["kill", f"-{signal.SIGTERM.value}", str(pid)]), "End the engine by hand")
    run(as_root(["rm", "-f", str(pidfile)]), "Remove it by hand")
    say("the Docker engine is stopped")


def _missing_packages(tools: dict[str, str]) -> list[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted({package for tool, package in tools.items() if not shutil.which(tool, path=path)})


def _start(state: Path) -> None:
    if Path("/run/systemd/system").is_dir():
        run(as_root(["systemctl", "enable", "--now", "docker"]), "Read `journalctl -u docker`")
        return
    if _own_engine(state):
        return
    state.mkdir(parents=True, exist_ok=True)
    # A session of its own, so that the engine outlives this command and its terminal;
    # the lab's own pid file says whose engine it is.
    script = f'dockerd >>"{state}/dockerd.log" 2>&1 </dev/null & echo $! >"{state}/dockerd.pid"'
    run(as_root(["setsid", "sh", "-c", script]), f"Read {state}/dockerd.log")


def _wait() -> Docker:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        docker = find()
        if docker:
            return docker
        time.sleep(0.5)  # between two looks
    raise LabError(
        f"The Docker engine did not answer in {START_SECONDS} s",
        "Read .lab/engine/dockerd.log, or `journalctl -u docker` where systemd runs",
    )


def _own_engine(state: Path) -> int | None:
    """Process id of the engine that the lab started, if it still runs."""
    try:
        pid = int((state / "dockerd.pid").read_text())
        return pid if b"dockerd" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
    except (OSError, ValueError):
        return None
