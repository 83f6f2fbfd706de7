"""What one host tells of a release that it has prepared: the rest of the run decides from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..checks.probes_host import available
from ..history.record_store import FOLDER, History
from ..stack.model import Job
from .plan import PHASES, Step, replica_of
from .pools import Pools
from .preparing import Preparation
from .release_diff import Change, unified


def pending(steps: Sequence[Step]) -> dict[str, list[str]]:
    return {phase: sorted({step.action for step in steps if step.phase == phase}) for phase in PHASES}


def told(
    it: Preparation,
    release: str,
    current: str,
    changes: Sequence[Change],
    jobs: Sequence[Job],
    *,
    confidential: Sequence[str],
) -> dict[str, Any]:
    """The module's result; confidential: files of which the diff tells only that they change."""
    lines = [*map(str, it.steps), *(f"run job {job.name} ({job.when})" for job in jobs)]
    planned = "".join(f"{line}\n" for line in lines)
    # A host that could not be asked (its engine is stopped) has no steps; what is refused must be told.
    behind = bool(lines) or current != release or bool(it.refusals.found)
    return {
        "changed": behind,
        "behind": behind,
        "current": current,
        "steps": [str(step) for step in it.steps],
        "pending": pending(it.steps),
        "changing": sorted({step.service for step in it.steps if not replica_of(step.service)[0]}),
        "starting": [step.service for step in it.steps if step.action in ("create", "start")],
        "live": {name: pools.live for name, pools in Pools(it.root).all().items()},
        "jobs": [asdict(job) for job in jobs],
        "migrates": any(change.path.startswith("migrations/") for change in changes)
        or not History(it.root / FOLDER).settled(current),
        "room": {"available": available(), "limits": it.engine.memory_limits() if it.steps else {}},
        "refused": [asdict(refusal) for refusal in it.refusals.found],
        "diff": {"prepared": unified(changes, confidential) + planned},
    }
