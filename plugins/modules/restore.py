#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Return PostgreSQL to an earlier moment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Return PostgreSQL to an earlier moment
version_added: 0.3.0
author: Slipway contributors (@slipway)
description:
  - The steps of C(playbooks/restore.yml), which puts them in order, asks for consent and says what was lost.
  - Until V(swapped), everything happens beside the data that serve, which stay as they are.
options:
  state:
    description:
      - V(planned), on the host that keeps the backups, chooses a backup and checks that all WAL up to O(to)
        is there.
      - V(marked), on PostgreSQL's hosts, makes a restore point on the leader and has it archived, so that
        there is a way back.
      - V(restored), on one of PostgreSQL's hosts, restores beside its data and replays up to the moment. The
        copy answers in a container of its own; see RV(instance).
      - V(stopped), on PostgreSQL's hosts, stops the member.
      - V(swapped), on the host of V(restored), puts the copy in the place of the member's data, starts it as
        the only member of a new cluster and waits until it leads. The old data stay under another name, and
        take their place again if it does not.
      - V(joined), on the other hosts, deletes their data; they are cloned anew.
      - V(given_up) removes the copy, also where it was put in the data's place and did not lead, and starts
        the member again on the data that it had.
      - V(bare), on every host, makes sure that it holds nothing of a cluster, which C(playbooks/rebuild.yml)
        makes anew.
      - V(reached), on PostgreSQL's hosts after that, tells how far that one came which restored; see
        RV(newest).
      - V(begun) and V(followed) are what V(restored) consists of.
    type: str
    choices: [planned, marked, restored, begun, followed, stopped, swapped, joined, given_up, bare, reached]
    required: true
  to:
    description: V(latest), a time with its zone, C(point:<name>) or a backup's label.
    type: str
    default: latest
  set:
    description: Label of the backup to begin with, in place of the newest before the moment.
    type: str
    default: ""
  timeline:
    description: Timeline to follow, where it is not the newest; to go back on an earlier restore.
    type: str
    default: ""
  repository:
    description: Number of the repository to restore from; 2 is C(stack.components.backup.second).
    type: int
    default: 1
  first:
    description: With V(given_up), wait until the cluster has a leader, so that others can follow it.
    type: bool
    default: false
  again:
    description: With V(marked), that this is not the first mark of the restore, and needs a name of its own.
    type: bool
    default: false
  plan:
    description: What V(planned) returned.
    type: dict
    default: {}
  lines:
    description: For V(followed), how many lines are known already. Set by the action plugin.
    type: int
    default: 0
  id:
    description: Name of this restore. Set by the action plugin.
    type: str
    default: ""
  version:
    description: Major version of PostgreSQL that the stack has. Set by the action plugin.
    type: int
    default: 17
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.member
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: See which backup leads to a moment
  slipway.compose.restore:
    state: planned
    to: "2026-11-26T20:15:05Z"
  become: true
  register: __restore_plan
"""

RETURN = r"""
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: state is restored
  sample:
    - pgBackRest copies 812 MB of 20261126-020412F
    - the files are there after 9 s; PostgreSQL replays WAL
plan:
  description: Which backup, how many bytes, and pgBackRest's arguments.
  type: dict
  returned: state is planned
  sample: {backup: 20261126-020412F, bytes: 851443712, target: the newest transaction that was archived}
estimate:
  description:
    - Seconds until the copy answers, if it goes as the last proof of a backup went; none without a proof.
  type: float
  returned: state is planned
  sample: 38.5
point:
  description: Name of the restore point that was made.
  type: str
  returned: state is marked, on the leader
  sample: slipway_before_20261126T201505
leader:
  description: Whether this host's member leads.
  type: bool
  returned: state is marked
timeline:
  description: Timeline of that point, to name it later.
  type: str
  returned: state is marked, on the leader
  sample: "1"
newest:
  description: Time (UTC) of the last transaction that the restored copy has.
  type: str
  returned: state is restored or reached
  sample: 2026-11-26 20:15:03.142118
instance:
  description: Container in which the restored copy answers.
  type: str
  returned: state is restored
  sample: wayfare-postgres-1-restore
kept:
  description: Where the data are that served before.
  type: str
  returned: state is swapped
  sample: /var/lib/postgresql/17/before-20261126T201505
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.backup import rebuild, restore_job, restore_work
from ..module_utils._core.backup.backup_work import Backups
from ..module_utils._core.backup.restore_host import RestoreHost
from ..module_utils._core.backup.restore_plan import estimate
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.locking.lock import LOCK_FILE, alive, sign_of_life
from ..module_utils._core.postgresql.member import leads, patience
from ..module_utils._core.postgresql.postgres import Psql
from ..module_utils._core.run import process
from ..module_utils._core.stack.postgres_version import OLDEST, Place

STATES = [
    *("planned", "marked", "restored", "begun", "followed", "stopped", "swapped", "joined", "given_up"),
    *("bare", "reached"),
]
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "required": True},
    "to": {"type": "str", "default": "latest"},
    "set": {"type": "str", "default": ""},
    "timeline": {"type": "str", "default": ""},
    "repository": {"type": "int", "default": 1},
    "first": {"type": "bool", "default": False},
    "again": {"type": "bool", "default": False},
    "plan": {"type": "dict", "default": {}},
    "lines": {"type": "int", "default": 0},
    "id": {"type": "str", "default": ""},
    "stack": {"type": "str"},
    "container": {"type": "str"},
    "patroni": {"type": "dict"},
    "version": {"type": "int", "default": OLDEST},
    "run": {"type": "str", "default": ""},
}


def planned(params: dict[str, Any], backups: Backups) -> dict[str, Any]:
    plan = restore_work.planned(
        backups.repository,
        params["to"],
        datetime.now(UTC),
        label=params["set"],
        line=params["timeline"],
        source=params["repository"],
        version=params["version"],
    )
    seconds = estimate(plan.bytes, backups.verifications())
    return {"plan": json.loads(json.dumps(asdict(plan))), "estimate": seconds}


def marked(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    """A cluster that is lost needs no mark, and must not stand in the way of its restore."""
    psql, leader = Psql(runner(module), params["container"]), False
    try:
        leader = leads(psql, 0, params["patroni"])
        if not leader:
            return {"point": "", "timeline": "", "leader": False}
        # Recovery stops at the first point of a name.
        name = f"{params['id']}_again" if params["again"] else params["id"]
        point, line = restore_work.mark(psql, name, patience(120))
        return {"point": point, "timeline": line, "leader": True}
    except SlipwayError as error:
        module.warn(f"No restore point was made: {error.problem}")
        return {"point": "", "timeline": "", "leader": leader}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, state = module.params, module.params["state"]
    root = Path("/opt") / params["stack"]
    with reporting(module):
        if state == "planned":
            module.exit_json(changed=False, **planned(params, Backups(root)))
        if state == "bare":
            rebuild.make_sure_it_is_bare(runner(module), params["stack"], root)
            module.exit_json(changed=False)
        if state == "reached":
            module.exit_json(changed=False, newest=rebuild.reached(runner(module), params["container"]))
        if module.check_mode:
            module.exit_json(changed=state not in ("planned", "marked"), point="", newest="", kept="")
        stack, container, patroni = params["stack"], params["container"], params["patroni"]
        # What begins here outlives this module, and with it Ansible's way to run a command.
        run = process if state == "begun" else runner(module)
        place = Place(params["version"])
        host = RestoreHost(run, container, stack, f"{stack}_data", patroni, place=place)
        if state == "followed":
            sign_of_life(root / LOCK_FILE, params["run"])
            module.exit_json(changed=True, **restore_job.follow(root, host, params["lines"], params))
        with alive(root / LOCK_FILE, params["run"]):
            restore_job.end(root, host)
            if state == "marked":
                module.exit_json(changed=False, **marked(module, params))
            if state != "begun":
                module.exit_json(changed=True, **restore_work.STEPS[state](host, params))
        # Here no thread gives signs of life any more, whose locks the new process would inherit.
        restore_job.start(root, host, params)
        module.exit_json(changed=True)


if __name__ == "__main__":
    main()
