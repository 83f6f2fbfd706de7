#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a job of a release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job
short_description: Run a job of a release
version_added: 0.2.0
author: Slipway contributors (@slipway)
description:
  - Runs a command of C(stack.jobs) in a container of its own, with image, environment, secrets, network and
    limits of its service, and waits until it has ended.
  - Ends it at its deadline. A deadline that has passed and a status other than 0 are failures, told with its
    last lines.
  - Runs it once a release. One that has ended well for the release is not run again; one that a run which
    died has left at work is awaited; one of another release is stopped first. It never runs twice at once.
  - Knows the job from the release that is stored on the host, so it is the same when that one returns.
options:
  job:
    description: Name of the job.
    type: str
    required: true
  release:
    description: Id of the release, which must be stored on the host.
    type: str
    required: true
  title:
    description: What the step is called in the release's record.
    type: str
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Warm the cache before the new release gets traffic
  slipway.compose.job:
    job: warm_cache
    release: "{{ __release.release }}"
  become: true
"""

RETURN = r"""
output:
  description: The job's last lines, of both its output and its errors.
  type: str
  returned: success
  sample: 11 places, 4620 journeys
seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 3.2
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.docker.compose_file import COMPOSE_FILE
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.release.job_run import HostJobs
from ..module_utils._core.release.jobs import declared
from ..module_utils._core.release.turn import own_turn
from ..module_utils._core.stack.model import Job
from ..module_utils._core.tree import ReleaseTree

# Beyond the job's deadline: its grace to stop, and the engine.
MARGIN = 120

ARGUMENT_SPEC: dict[str, Any] = {
    "job": {"type": "str", "required": True},
    "release": {"type": "str", "required": True},
    "stack": {"type": "str"},
    "run": {"type": "str", "default": ""},
}


def found(tree: ReleaseTree, release: str, name: str) -> Job:
    for job in declared(tree.staged(release)):
        if job.name == name:
            return job
    raise SlipwayError(
        f"release {release} has no job {name} on this host",
        "Deploy it first; jobs run on the first host of their service",
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    stack, name, release = (module.params[key] for key in ("stack", "job", "release"))
    if module.check_mode:
        # The plan was told before the first step.
        module.exit_json(changed=False, output="", seconds=0.0)
    tree = ReleaseTree(Path("/opt") / stack)
    with reporting(module), alive(tree.root / LOCK_FILE, module.params["run"]):
        job = found(tree, release, name)
        # The module of a run that was killed may still be waiting for it.
        with own_turn(Path(f"/run/slipway-{stack}-job-{name}.lock"), job.deadline + MARGIN):
            jobs = HostJobs(runner(module), stack, tree)
            outcome = jobs.take(job, release, str(tree.release(release) / COMPOSE_FILE))
        module.exit_json(changed=outcome.ran, output=outcome.output, seconds=round(outcome.seconds, 1))


if __name__ == "__main__":
    main()
