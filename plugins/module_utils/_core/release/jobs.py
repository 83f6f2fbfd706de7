"""Jobs of a release: what a host has to run, what it has run, and the moves that run them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..stack.model import AFTER_RELEASE, BEFORE_TRAFFIC, Job
from ..tree import File, ReleaseTree, write_file
from .rollout_text import duration
from .stage_moves import Move

# In a release, on the host that runs them; their containers are defined in its Compose file.
JOBS_FILE = "jobs.json"
# Below the stack's root: release -> jobs that have ended well for it.
STATE = "state/jobs.json"
# No service or component has a dot in its name.
PREFIX = "job."

_MOMENTS = {
    BEFORE_TRAFFIC: "before the first new replica starts",
    AFTER_RELEASE: "when the release serves",
}


def told(jobs: Iterable[Job]) -> str:
    return json.dumps([asdict(job) for job in jobs], indent=1) + "\n"


def declared(files: Iterable[File]) -> list[Job]:
    """The jobs that a release has on this host."""
    text = next((file.content for file in files if file.path == JOBS_FILE), "[]")
    return [Job(**{**values, "command": tuple(values["command"])}) for values in json.loads(text)]


def pending(files: Sequence[File], done: Iterable[str]) -> list[Job]:
    return [job for job in declared(files) if job.name not in set(done)]


def done(tree: ReleaseTree, release: str) -> list[str]:
    """Jobs that have ended well for a release on this host."""
    return _all(tree).get(release, [])


def record_done(tree: ReleaseTree, release: str, job: str) -> None:
    """Remember it as long as the release is stored."""
    known = {name: jobs for name, jobs in _all(tree).items() if tree.release(name).exists()}
    known[release] = sorted({*known.get(release, []), job})
    text = json.dumps(known, indent=1, sort_keys=True) + "\n"
    write_file(tree.root / STATE, File(STATE, text, 0o644, os.geteuid()))


def _all(tree: ReleaseTree) -> dict[str, list[str]]:
    path = tree.root / STATE
    found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def job_moves(found: Mapping[str, Sequence[Mapping[str, Any]]], when: str) -> list[Move]:
    """One move a job that is yet to be run. `found`: host -> its pending jobs."""
    return [
        Move("job", f"run job {job['name']}", {job["name"]: dict(job)}, int(job["deadline"]), hosts=(host,))
        for host, jobs in found.items()
        for job in jobs
        if job["when"] == when
    ]


def job_lines(moves: Iterable[Move]) -> list[str]:
    """The same for whoever reads the plan."""
    return [
        f"job {name}: run on {move.hosts[0]} {_MOMENTS[job['when']]}, for at most {duration(move.seconds)}"
        for move in moves
        for name, job in move.services.items()
    ]
