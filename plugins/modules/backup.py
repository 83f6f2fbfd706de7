#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take and prove backups of PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Take and prove backups of PostgreSQL
version_added: 0.3.0
author: Slipway contributors (@slipway)
description:
  - Works on the host that keeps the stack's backups (C(stack.components.backup)); on other hosts it does
    nothing, but for V(recorded).
  - Backups and proofs go on where the run that began them ends, and never run twice at once.
options:
  state:
    description:
      - V(ready) makes the repository's stanza where it is missing, and has the first backup begin.
      - V(taken) takes a backup into every repository and shows how far it is.
      - V(verified) reads every repository, restores the newest backup with its WAL into a container without a
        network, and tries it. What it finds is in RV(verification); a finding is no failure of the module.
      - V(recorded), on PostgreSQL's hosts, writes proofs into the table C(slipway.backup_verifications).
      - V(begun) and V(followed) are what V(taken) and V(verified) consist of.
    type: str
    choices: [ready, taken, verified, recorded, begun, followed]
    required: true
  type:
    description: Kind of backup to take.
    type: str
    choices: [full, diff, incr]
    default: diff
  adopt:
    description:
      - Whether a repository of another database cluster shall go on with this one. Old backups are kept.
    type: bool
    default: false
  seen:
    description: For V(recorded), the variable that V(verified) was registered in.
    type: str
  what:
    description: For V(begun), what begins. Set by the action plugin.
    type: str
    choices: [backup, verification]
    default: backup
  lines:
    description: For V(followed), how many lines are known already. Set by the action plugin.
    type: int
    default: 0
  verifications:
    description: For V(recorded), proofs to write. Set by the action plugin.
    type: list
    elements: dict
    default: []
  container:
    description: For V(recorded), this host's PostgreSQL container. Set by the action plugin.
    type: str
  patroni:
    description: For V(recorded), Patroni's API on this host. Set by the action plugin.
    type: dict
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Take a full backup
  slipway.compose.backup:
    state: taken
    type: full
  become: true

- name: Prove the newest backup
  slipway.compose.backup:
    state: verified
  become: true
  register: __verified
"""

RETURN = r"""
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: always
  sample: ["diff backup into repository 1", "20261126-020412F_20261127-020307D: 812 MB, 4 MB stored, 9 s"]
verification:
  description: What a proof found, as it stands in the table's column C(record).
  type: dict
  returned: state is verified
  sample: {id: 20261126T050311-3f2a9c, ok: true, rpo: 41.2, rto: 38.0, backup: 20261126-020412F}
verifications:
  description: All proofs this host remembers, the oldest first.
  type: list
  elements: dict
  returned: state is verified
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.backup import backup_job, backup_sql
from ..module_utils._core.backup.backup_report import Verification
from ..module_utils._core.backup.backup_work import Backups
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.postgresql.member import leads
from ..module_utils._core.postgresql.postgres import Psql

UNIT = "slipway-backup.service"
PATIENCE = 60
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {
        "type": "str",
        "choices": ["ready", "taken", "verified", "recorded", "begun", "followed"],
        "required": True,
    },
    "type": {"type": "str", "choices": ["full", "diff", "incr"], "default": "diff"},
    "adopt": {"type": "bool", "default": False},
    "seen": {"type": "str"},
    "what": {"type": "str", "choices": ["backup", "verification"], "default": "backup"},
    "lines": {"type": "int", "default": 0},
    "verifications": {"type": "list", "elements": "dict", "default": []},
    "container": {"type": "str"},
    "patroni": {"type": "dict"},
    "stack": {"type": "str"},
}


def ready(module: AnsibleModule, backups: Backups) -> dict[str, Any]:
    done = backups.ready(adopt=module.params["adopt"])
    steps = [f"{done}: done"] if done else []
    known = Path("/etc/systemd/system") / UNIT
    if not backups.repository.info().backups and known.exists():
        # Days may pass until the first timer; until then there would be no way back at all.
        module.run_command(["systemctl", "start", "--no-block", UNIT])
        steps.append("the first backup begins")
    return {"changed": bool(steps), "steps": steps}


def record(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    psql = Psql(runner(module), params["container"])
    if not leads(psql, PATIENCE, params["patroni"]):
        return {"changed": False, "steps": [], "leader": False}
    proofs = [Verification.from_dict(told) for told in params["verifications"]]
    answer = psql.send(backup_sql.script(params["stack"], proofs))
    if not answer.ok:
        raise SlipwayError(
            f"slipway.backup_verifications was not written: {answer.error}",
            "Correct the cause and run playbooks/verify_backups.yml again; proofs are not forgotten",
        )
    return {"changed": False, "steps": [f"{len(proofs)} proofs are in the table"], "leader": True}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    root, state = Path("/opt") / module.params["stack"], module.params["state"]
    os.umask(0o022)
    if module.check_mode:
        module.exit_json(changed=state in ("taken", "begun"), steps=[])
    with reporting(module):
        if state == "ready":
            module.exit_json(**ready(module, Backups(root)))
        if state == "begun":
            params = module.params
            backup_job.start(root, params["what"], params["type"], params["adopt"])
            module.exit_json(changed=True, steps=[])
        if state == "followed":
            module.exit_json(changed=False, **backup_job.follow(root, module.params["lines"]))
        module.exit_json(**record(module))


if __name__ == "__main__":
    main()
