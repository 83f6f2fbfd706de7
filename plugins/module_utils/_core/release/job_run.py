"""Run one job of a release on its host: at most once at a time, until it ends or its deadline has passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..docker import commands
from ..errors import SlipwayError
from ..run import Run
from ..stack.model import BEFORE_TRAFFIC, Job
from ..tree import ReleaseTree
from . import job_commands
from .jobs import done, record_done

POLL = 0.5
LINES = 20


@dataclass(frozen=True)
class Found:
    """A container of a job, of whichever release; `state` as the engine says it."""

    id: str
    release: str
    state: str
    status: int
    out_of_memory: bool
    started: datetime

    @property
    def ended(self) -> bool:
        return self.state in ("exited", "dead")


@dataclass(frozen=True)
class Outcome:
    """What a job came to; `ran`: whether it was run, or awaited, this time. `output`: its last lines."""

    ran: bool
    seconds: float = 0.0
    output: str = ""


class HostJobs:
    """The jobs of one stack on one host."""

    def __init__(
        self,
        run: Run,
        stack: str,
        tree: ReleaseTree,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._run = run
        self._stack = stack
        self._tree = tree
        self._sleep = sleep
        self._now = now

    def take(self, job: Job, release: str, file: str) -> Outcome:
        """Run it unless it has ended well for this release; one that a dead run left at work is awaited."""
        if job.name in done(self._tree, release):
            return Outcome(ran=False)
        mine = None
        for container in self._found(job.name):
            # It may have ended well in the moment in which the run died that was to remember it.
            usable = container.state != "created" and not (container.ended and container.status)
            if container.release == release and usable:
                mine = container
            else:
                self._remove(container.id)
        return self._await(mine.id if mine else self._start(job, release, file), job, release)

    def sweep(self, release: str) -> list[str]:
        """Remove what dead runs left of jobs of other releases."""
        gone = [(job, it) for job, it in self._containers() if it.release != release]
        for _job, container in gone:
            self._remove(container.id)
        return [f"remove job {job} of {container.release}" for job, container in gone]

    def _await(self, container: str, job: Job, release: str) -> Outcome:
        while not (seen := self._look(container, release)).ended:
            if (self._now() - seen.started).total_seconds() >= job.deadline:
                self._checked(commands.stop([container]))
                output = self._end(container)
                problem = (
                    f"job {job.name} was not done within {job.deadline} s and was ended{_quoted(output)}"
                )
                raise SlipwayError(problem, _remedy(job, release))
            self._sleep(POLL)
        seconds = (self._now() - seen.started).total_seconds()
        if not seen.status:
            record_done(self._tree, release, job.name)
        output = self._end(container)
        if seen.status:
            how = f"status {seen.status}{', out of memory' if seen.out_of_memory else ''}"
            problem = f"job {job.name} ended with {how} after {seconds:.0f} s{_quoted(output)}"
            raise SlipwayError(problem, _remedy(job, release))
        return Outcome(True, seconds, output)

    def _start(self, job: Job, release: str, file: str) -> str:
        self._tree.bring_live(release, f"config/jobs/{job.name}")
        code, _out, err = self._run(job_commands.start(self._stack, file, job.name, release))
        if code:
            for container in self._found(job.name):
                self._remove(container.id)
            said = err.strip().splitlines()[-1:] or [str(code)]
            raise SlipwayError(f"job {job.name} cannot be started: {said[0]}", _remedy(job, release))
        return f"{self._stack}-job-{job.name}"

    def _found(self, job: str) -> list[Found]:
        return [container for name, container in self._containers() if name == job]

    def _containers(self) -> list[tuple[str, Found]]:
        lines = [line.split("\t") for line in self._checked(job_commands.found(self._stack)).splitlines()]
        return [(label.rpartition("/")[2], self._look(name, release)) for name, label, release in lines]

    def _look(self, container: str, release: str) -> Found:
        state, status, killed, started = self._checked(job_commands.state(container)).strip().split("\t")
        return Found(
            container, release, state, int(status), killed == "true", datetime.fromisoformat(started)
        )

    def _end(self, container: str) -> str:
        """Its last words; it is gone afterwards."""
        _code, out, err = self._run(commands.logs(container, LINES))
        self._checked(commands.remove([container]))
        return (out + err).strip()

    def _remove(self, container: str) -> None:
        self._checked(commands.stop([container]))
        self._checked(commands.remove([container]))

    def _checked(self, argv: list[str]) -> str:
        code, out, err = self._run(argv)
        if code:
            raise SlipwayError(
                f"`{' '.join(argv[:2])}` failed: {err.strip() or code}",
                "Check that Docker is running on this host: `systemctl status docker`",
            )
        return out


def _quoted(output: str) -> str:
    return f":\n{output}\n" if output else ""


def _remedy(job: Job, release: str) -> str:
    if job.when == BEFORE_TRAFFIC:
        return "Correct it or what it needs, and deploy again; no new replica was started"
    return f"Release {release} serves all the same; correct it, or deploy again: only the job is run then"
