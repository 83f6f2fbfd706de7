#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Report extensions, roles, and how vacuum, statistics and wraparound stand."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_report
short_description: Report extensions, roles, and how vacuum, statistics and wraparound stand
version_added: 0.4.0
author: Slipway contributors (@slipway)
description:
  - Reads catalogs and statistics, changes nothing, and has no lock.
  - Bloat is an estimate from PostgreSQL's own statistics; fill factors below 100 and TOAST are not counted.
options:
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.postgres
"""

EXAMPLES = r"""
- name: See how PostgreSQL fares inside
  slipway.compose.postgres_report:
  become: true
  register: __report
"""

RETURN = r"""
lines:
  description: The report, a line each.
  type: list
  elements: str
  returned: on the leader
  sample: ["PostgreSQL 17.6", "database wayfare: 812 MB, 0.1 % of the way to wraparound"]
remarks:
  description: What is worth an operator's while, as tables with C(status), C(subject), C(problem), C(remedy).
  type: list
  elements: dict
  returned: on the leader
grave:
  description: Whether a remark is grave, so that a run should fail.
  type: bool
  returned: on the leader
leader:
  description: Whether the member here leads.
  type: bool
  returned: always
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.checks.health import FAIL
from ..module_utils._core.postgresql import postgres_report, postgres_report_sql
from ..module_utils._core.postgresql.member import ARGUMENTS, leads
from ..module_utils._core.postgresql.postgres import Psql

ARGUMENT_SPEC: dict[str, Any] = {**ARGUMENTS, "stack": {"type": "str"}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with reporting(module):
        psql = Psql(runner(module), module.params["container"])
        if not leads(psql, module.params["wait"], module.params["patroni"]):
            module.exit_json(changed=False, leader=False)
        server, inside = postgres_report_sql.ask(psql)
        remarks = postgres_report.judge(server, inside, datetime.now(UTC))
        module.exit_json(
            changed=False,
            leader=True,
            lines=postgres_report.lines(server, inside, remarks),
            remarks=[asdict(remark) for remark in remarks],
            grave=any(remark.status == FAIL for remark in remarks),
        )


if __name__ == "__main__":
    main()
