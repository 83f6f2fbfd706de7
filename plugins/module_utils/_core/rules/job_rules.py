"""Rules between a stack's jobs and its services."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Problem
from ..stack.model import Stack
from ..wording import did_you_mean, listed


def job_faults(stack: Stack) -> Iterator[Problem]:
    for name, job in stack.jobs.items():
        if job.service and job.service not in stack.services:
            remedy = f"{did_you_mean(job.service, stack.services)}The stack has {listed(stack.services)}"
            yield Problem(f"stack/jobs/{name}/service", f"{job.service} is not a service", remedy)
