#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copy databases to another environment, masked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: clone
short_description: Copy databases to another environment, masked
version_added: 0.8.0
author: Slipway contributors (@slipway)
description:
  - The steps of C(playbooks/clone_environment.yml), which puts them in order for both environments.
  - What is not masked never leaves the host that keeps the source's backups. See C(docs/data-care.md).
options:
  state:
    description:
      - V(permitted), in the target's environment, refuses what must not be replaced. No host is asked.
      - V(planned), on the source's leader, judges the rules against its columns and says what would be done.
      - V(masked), on the host that keeps the source's backups, restores the newest one where nobody sees it,
        masks and checks it, dumps it, and fetches the dumps to the control node.
      - V(restored), on the target's leader, restores the dumps beside its databases.
      - V(swapped), on the target's leader, puts them in the place of its databases.
      - V(followed), on the target's other members, ends sessions that still read what was replaced.
    type: str
    choices: [permitted, planned, masked, restored, swapped, followed]
    required: true
  databases:
    description: Databases to copy, separated by commas; all of the source's services where it is empty.
    type: str
    default: ""
  keep:
    description: With V(swapped), whether what was replaced is kept until the next copy.
    type: bool
    default: true
  seen:
    description: With V(restored), name of the variable that V(masked) registered.
    type: str
  rules:
    description: The rules of each database. Set by the action plugin.
    type: dict
    default: {}
  public:
    description: Databases whose schema is not searched. Set by the action plugin.
    type: list
    elements: str
    default: []
  lines:
    description: How much of the progress is known already. Set by the action plugin.
    type: int
    default: 0
  step:
    description: Which part of V(masked) or V(restored) is done. Set by the action plugin.
    type: str
    default: ""
  copies:
    description: The dumps. Set by the action plugin.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.member
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: See what a copy of the databases would be
  slipway.compose.clone:
    state: planned
  become: true
"""

RETURN = r"""
steps:
  description: What was done or would be, one line each.
  type: list
  elements: str
  returned: always
  sample: ["wayfare: 5 tables, 41 MB", "  bookings: passenger fake_name, session_id hash"]
copies:
  description: The dumps, with digest and rows of each table.
  type: list
  elements: dict
  returned: state is masked
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.data_care import clone_job, clone_source
from ..module_utils._core.data_care.clone_target import Target, follow
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.postgresql.member import leads, patience
from ..module_utils._core.postgresql.postgres import Psql

STATES = ["permitted", "planned", "masked", "restored", "swapped", "followed"]
PATIENCE = 60
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "required": True},
    "databases": {"type": "str", "default": ""},
    "keep": {"type": "bool", "default": True},
    "seen": {"type": "str"},
    "rules": {"type": "dict", "default": {}},
    "public": {"type": "list", "elements": "str", "default": []},
    "lines": {"type": "int", "default": 0},
    "step": {"type": "str", "default": ""},
    "copies": {"type": "list", "elements": "dict", "default": []},
    "stack": {"type": "str"},
    "container": {"type": "str"},
    "patroni": {"type": "dict"},
    "run": {"type": "str", "default": ""},
}


def masked(params: dict[str, Any], root: Path) -> dict[str, Any]:
    if params["step"] == "followed":
        return {"changed": False, **clone_job.log(root).follow(params["lines"], lambda: "")}
    if params["step"] == "removed":
        clone_source.clear(root)
        return {"changed": True}
    # Whom Ansible logs in as, where it is not root: that user fetches the dumps.
    owner = int(os.environ.get("SUDO_UID", "0"))
    clone_job.start(root, params["rules"], owner, params["public"])
    return {"changed": True, "steps": []}


def on_member(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    psql = Psql(runner(module), params["container"])
    leader, state = leads(psql, PATIENCE, params["patroni"]), params["state"]
    names = [copy["database"] for copy in params["copies"]] or list(params["rules"])
    if state == "planned":
        return {"changed": False, "steps": clone_job.plan(psql, params["rules"]) if leader else []}
    if state == "followed":
        ended = 0 if leader else follow(psql, names, patience(PATIENCE))
        return {"changed": ended > 0, "steps": [f"{ended} sessions ended"] if ended else []}
    if not leader or params["step"] == "asked":
        return {"changed": False, "steps": [], "leader": leader}
    steps = []
    for copy in params["copies"]:
        target = Target(runner(module), psql, copy["database"])
        if state == "restored":
            steps.append(target.restore(Path(copy["path"]), copy))
        else:
            target.swap(patience(PATIENCE), keep=params["keep"])
            steps.append(f"{copy['database']}: replaced")
    return {"changed": True, "steps": steps, "leader": True}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    root = Path("/opt") / params["stack"]
    with reporting(module):
        if params["state"] == "planned":
            module.exit_json(**on_member(module, params))
        if module.check_mode:
            module.exit_json(changed=params["state"] != "followed", steps=[])
        if params["state"] == "masked":
            module.exit_json(**masked(params, root))
        with alive(root / LOCK_FILE, params["run"]):
            module.exit_json(**on_member(module, params))


if __name__ == "__main__":
    main()
