#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Export or erase what is held of one person."""

from __future__ import annotations

DOCUMENTATION = r"""
module: subject
short_description: Export or erase what is held of one person
version_added: 0.8.0
author: Slipway contributors (@slipway)
description:
  - Runs the SQL that the stack declares, on PostgreSQL's leader, as the database's owner, in one transaction.
  - Puts on record that it was done, in C(slipway.subject_requests) of the database C(postgres) and in the
    host's journal under C(authpriv), which a log store keeps as an audit log; never of whom.
options:
  state:
    description: V(exported) reads, V(erased) deletes. In check mode V(erased) runs and is rolled back.
    type: str
    choices: [exported, erased]
    required: true
  subject:
    description: Who it is, in the words that the SQL files understand.
    type: str
    required: true
  reference:
    description: What stands in the record in the person's place; the number of a ticket, for example.
    type: str
    default: ""
  confirm:
    description: Name of the stack, as consent to V(erased).
    type: str
    default: ""
  file:
    description: Where an export goes on the control node. It must not be there yet.
    type: str
    default: ""
  scripts:
    description: Database to statements. Set by the action plugin.
    type: dict
    default: {}
  id:
    description: Id of this run's record. Set by the action plugin.
    type: str
    default: ""
  by:
    description: Who runs it, and where. Set by the action plugin.
    type: str
    default: ""
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.member
"""

EXAMPLES = r"""
- name: Give a person what is held of it
  slipway.compose.subject:
    state: exported
    subject: ada@example.com
    reference: GDPR-2026-17
  become: true
"""

RETURN = r"""
steps:
  description: Rows that were found, deleted or changed, by database and table.
  type: list
  elements: str
  returned: on the leader
  sample: ["wayfare: bookings: 3 deleted, 0 changed"]
path:
  description: Where the export is, on the control node.
  type: str
  returned: state is exported, on the leader
"""

import base64
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.data_care import subject
from ..module_utils._core.postgresql.member import leads
from ..module_utils._core.postgresql.postgres import Psql

PATIENCE = 60
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["exported", "erased"], "required": True},
    "subject": {"type": "str", "required": True, "no_log": True},
    "reference": {"type": "str", "default": ""},
    "confirm": {"type": "str", "default": ""},
    "file": {"type": "str", "default": ""},
    "scripts": {"type": "dict", "default": {}},
    "id": {"type": "str", "default": ""},
    "by": {"type": "str", "default": ""},
    "stack": {"type": "str"},
    "container": {"type": "str"},
    "patroni": {"type": "dict"},
}


def exported(psql: Psql, params: dict[str, Any], record: Any) -> dict[str, Any]:
    found = {}
    for database, (query,) in params["scripts"].items():
        record(database, None)
        found[database] = subject.export(psql.on(database).as_user(database), query, params["subject"])
        record(database, {})
    # Not as it is: Ansible would cut the person's name out of it, and show the rest.
    content = base64.b64encode(json.dumps(found, ensure_ascii=False).encode()).decode()
    steps = [f"{database}: {len(rows)} rows" for database, rows in found.items()]
    return {"changed": False, "steps": steps, "content": content, "leader": True}


def erased(psql: Psql, params: dict[str, Any], record: Any, check: bool) -> dict[str, Any]:
    steps: list[str] = []
    for database, statements in params["scripts"].items():
        owner = psql.on(database).as_user(database)
        record(database, None)
        done = subject.erase(owner, statements, params["subject"], "ROLLBACK" if check else "COMMIT")
        record(database, done)
        steps += [
            f"{database}: {table}: {it['deleted']} deleted, {it['changed']} changed"
            for table, it in sorted(done.items())
        ] or [f"{database}: nothing was found"]
    changed = any("nothing" not in step for step in steps)
    after = "".join(f"{step}\n" for step in steps)
    return {"changed": changed, "steps": steps, "leader": True, "diff": {"before": "", "after": after}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, run = module.params, runner(module)
    psql = Psql(run, params["container"])

    def record(database: str, changed: dict[str, Any] | None) -> None:
        if module.check_mode:
            return
        what = "export" if params["state"] == "exported" else "erase"
        row = {"id": f"{params['id']}-{database}", "database": database, "what": what}
        row |= {name: params[name] for name in ("stack", "reference", "by")}
        subject.note(psql, row, changed)
        said = {"message": f"subject {what} {'done' if changed is not None else 'begun'}", **row}
        run(
            [
                "logger",
                "--priority",
                "authpriv.notice",
                "--tag",
                "slipway",
                json.dumps({**said, "changed": changed}),
            ]
        )

    with reporting(module):
        if not leads(psql, PATIENCE, params["patroni"]):
            module.exit_json(changed=False, steps=[], leader=False)
        if params["state"] == "exported":
            module.exit_json(**exported(psql, params, record))
        module.exit_json(**erased(psql, params, record, module.check_mode))


if __name__ == "__main__":
    main()
