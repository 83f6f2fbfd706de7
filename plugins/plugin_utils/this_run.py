"""The run that an action plugin belongs to: one `ansible-playbook` process, and what all its workers share.

It is kept in Ansible's own temporary folder, which is made once a process and inherited by its workers.
"""

from __future__ import annotations

import getpass
import json
import multiprocessing
import os
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants

_FILE = "slipway-run.json"
_STEPS = "slipway-steps.jsonl"


@dataclass(frozen=True)
class ThisRun:
    """id: unique, made once a run; begun: ISO 8601, UTC; process: its main process, see `identity`."""

    id: str
    begun: str
    owner: str
    control: str
    pid: int
    process: str

    @property
    def record(self) -> str:
        """The id of its release record, which sorts by time: 20261122T141502-3f2a9c."""
        moment = datetime.fromisoformat(self.begun)
        return f"{moment:%Y%m%dT%H%M%S}-{self.id[:6]}"


def this_run(folder: Path | None = None) -> ThisRun:
    """The run of the calling process, the same for all its workers, whichever asks first."""
    path = (folder or shared()) / _FILE
    if not path.exists():
        draft = path.with_name(f"{_FILE}.{uuid.uuid4().hex}")
        draft.write_text(json.dumps(asdict(_begin())), encoding="utf-8")
        # A link is made completely or not at all, and by one worker alone.
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return ThisRun(**json.loads(path.read_text(encoding="utf-8")))


def first_to(task: str, folder: Path | None = None) -> bool:
    """Whether no other worker of this run has done a task that is to be done once."""
    try:
        ((folder or shared()) / f"slipway-{task}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def done_by_another(task: str, folder: Path | None = None) -> bool:
    return ((folder or shared()) / f"slipway-{task}").exists()


def note_step(step: Mapping[str, Any], folder: Path | None = None) -> None:
    """Remember a step for this run's record; a line at a time is written whole."""
    with ((folder or shared()) / _STEPS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(step) + "\n")


def noted_steps(folder: Path | None = None) -> list[dict[str, Any]]:
    path = (folder or shared()) / _STEPS
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def moment() -> str:
    """Now, as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shared() -> Path:
    """Ansible's own temporary folder of this run: for its user alone, and gone when it ends."""
    return Path(str(vars(constants)["DEFAULT_LOCAL_TMP"]))


def _begin() -> ThisRun:
    parent = multiprocessing.parent_process()
    pid = int(parent.pid) if parent and parent.pid else os.getpid()
    return ThisRun(uuid.uuid4().hex, moment(), user(), socket.gethostname(), pid, identity(pid))


def user() -> str:
    """Who started the run: the person, where sudo says so."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a numeric user without a name, as in containers
        return str(os.getuid())


def identity(pid: int) -> str:
    """A process, told from any other that had or will have its number; "" where that cannot be known."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        return f"{_machine()}/{started}"
    except OSError:
        return ""


def has_ended(pid: int, process: str) -> bool:
    """Whether a process is known to have ended; False where this machine cannot know."""
    try:
        return process.startswith(f"{_machine()}/") and identity(pid) != process
    except OSError:
        return False


def _machine() -> str:
    """This boot of this machine, as far as processes can be seen from here."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
