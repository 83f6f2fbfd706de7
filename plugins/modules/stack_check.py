#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does all the work on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_check
short_description: Check an environment completely before any host is touched
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Decides which environment a run is for, and refuses a run that is for none or for several.
    An environment is a group that is a direct child of the group C(environments).
  - Checks the environment's C(stack) variable, the addresses of its hosts, the folders and certificates that
    the stack names, and the environment's secrets. Every problem is listed at once, with path and remedy.
  - Runs on the control node alone. Hosts that do not answer do not matter.
  - What Slipway generates itself may be missing, see M(slipway.compose.stack_secrets).
options:
  partial:
    description: Whether a limit may select only a part of the environment, as for showing its state.
    type: bool
    default: false
notes:
  - C(slipway_address), or else C(ansible_host), is the address a host's peers reach it at.
  - C(slipway_secrets_file) is C(secrets.vault.yml) beside the inventory unless set.
  - C(slipway_checkout), where relative paths of the stack start, is the repository unless set.
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Check the environment and its stack
  slipway.compose.stack_check:
  run_once: true

- name: Check for a run that looks at some hosts only
  slipway.compose.stack_check:
    partial: true
  run_once: true
"""

RETURN = r"""
environment:
  description: Name of the environment.
  returned: success
  type: str
  sample: production
stack:
  description: Name of its stack.
  returned: success
  type: str
  sample: shop
hosts:
  description: Its hosts.
  returned: success
  type: list
  elements: str
  sample: [web-1.example.com, web-2.example.com, web-3.example.com]
"""
