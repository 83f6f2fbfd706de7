#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delete rows that are older than they are to be kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: retention
short_description: Delete rows that are older than they are to be kept
version_added: 0.8.0
author: Slipway contributors (@slipway)
description:
  - What the timer C(slipway-retention) does each day, now, on PostgreSQL's leader; in batches, as the
    database's owner.
  - In check mode it counts, and deletes nothing.
options:
  rules:
    description: The stack's rules. Set by the action plugin.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.member
"""

EXAMPLES = r"""
- name: Delete rows that are old
  slipway.compose.retention:
  become: true
"""

RETURN = r"""
steps:
  description: Rows of each table that were deleted, or in check mode are old enough, and what goes with them.
  type: list
  elements: str
  returned: on the leader
  sample: ["wayfare: bookings: 1204 rows deleted, and with them 1377 of tickets"]
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.data_care.retention_work import Retention, Rule
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.postgresql.member import leads
from ..module_utils._core.postgresql.postgres import Psql

PATIENCE = 60
ARGUMENT_SPEC: dict[str, Any] = {
    "rules": {"type": "list", "elements": "dict", "default": []},
    "stack": {"type": "str"},
    "container": {"type": "str"},
    "patroni": {"type": "dict"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, run = module.params, runner(module)
    with reporting(module):
        if not leads(Psql(run, params["container"]), PATIENCE, params["patroni"]):
            module.exit_json(changed=False, steps=[])
        retention = Retention(Path("/opt") / params["stack"], run, params["container"])
        rules = [Rule(**rule) for rule in params["rules"]]
        if module.check_mode:
            outcomes, done = retention.due(rules), "rows are old enough"
        else:
            outcomes, done = retention.delete(rules, lambda _line: None), "rows deleted"
        if problems := [f"{it.rule}: {it.problem}" for it in outcomes if it.problem]:
            raise SlipwayError("; ".join(problems), "Correct the rule, or what hangs on the rows")
        steps = [it.told(done) for it in outcomes]
        module.exit_json(
            changed=any(it.rows for it in outcomes),
            steps=steps,
            diff={"before": "", "after": "".join(f"{step}\n" for step in steps)},
        )


if __name__ == "__main__":
    main()
