#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell how services keep their objectives, and what is left of their error budgets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slo
short_description: Tell how services keep their objectives, and what is left of their error budgets
version_added: 0.5.0
author: Slipway contributors (@slipway)
description:
  - Asks Prometheus what the rules have recorded for every C(slo) of the stack's services, and prints a table.
    Changes nothing.
  - Fails when Prometheus does not answer.
  - Run it on all hosts. Only the first one with a Prometheus is asked, and has something to tell.
options:
  objectives:
    description: What services promise. Set by the action plugin.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.prometheus
"""

EXAMPLES = r"""
- name: See what is left of error budgets
  slipway.compose.slo:
"""

RETURN = r"""
objectives:
  description:
    - One entry for each objective of a service. Shares and rates are null where no request was seen.
    - C(left) is the share of the error budget that is left, negative where more was spent; C(burn) how many
      times as fast as allowed it was spent in the last hour; C(exhausted_in) the seconds until it is spent at
      that pace, null where that is beyond the window.
  type: list
  elements: dict
  returned: always
  sample:
    - service: api
      objective: availability
      promised: 99.9
      within: null
      window: 2592000
      measured: 99.951
      requests: 1204511
      errors: 590
      left: 0.51
      burn: 0.4
      exhausted_in: null
table:
  description: The same as a table, a line each.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import PROMETHEUS, reporting
from ..module_utils._core.monitoring import slo_report
from ..module_utils._core.prometheus import Prometheus

ARGUMENT_SPEC: dict[str, Any] = {
    "objectives": {"type": "list", "elements": "dict", "default": []},
    "prometheus": PROMETHEUS,
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with reporting(module):
        objectives = slo_report.objectives_from(module.params["objectives"])
        readings = slo_report.read(Prometheus(**module.params["prometheus"]).ask, objectives)
        told = slo_report.report(readings)
        module.exit_json(changed=False, objectives=told, table=slo_report.table(readings))


if __name__ == "__main__":
    main()
