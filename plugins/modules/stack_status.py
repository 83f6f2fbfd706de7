#!/usr/bin/python
# GPL-3.0-or-later
"""Print one table of every component and service of an environment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_status
short_description: Print one table of every component and service of an environment
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Runs on the control node and reads what earlier tasks registered on each host. Contacts no host.
  - A host for which nothing is registered is shown as unreachable.
options:
  health:
    description: Name of the variable that holds the result of M(slipway.compose.health) on each host.
    type: str
    required: true
  current:
    description: Name of the variable that holds M(ansible.builtin.stat)'s result for C(current).
    type: str
    required: true
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Show the environment
  slipway.compose.stack_status:
    health: __health
    current: __current
  run_once: true
"""

RETURN = r"""
table:
  description: The table, a line each.
  type: list
  elements: str
  returned: always
"""
