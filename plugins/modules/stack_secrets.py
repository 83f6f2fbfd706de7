#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does all the work on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_secrets
short_description: Generate an environment's missing secrets and certificates
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Keeps one Ansible-Vault file per environment, named by C(slipway_secrets_file), C(secrets.vault.yml)
    beside the inventory unless set. Adds what the stack needs and the file lacks.
  - Runs on the control node alone.
  - Generates the platform's passwords, user secrets that the stack declares with C(generate), the
    environment's certificate authority (10 years), and a certificate for each host and the edge (398 days).
  - Issues a certificate again when less than 30 days of it remain, its names changed, or another authority
    signed it.
  - Never removes anything and never replaces a secret. Values appear in no output, log or difference.
  - The file is replaced in one step, with mode 0600. Comments in it are lost when something is added.
options: {}
attributes:
  check_mode:
    description: Says what would be generated.
    support: full
  diff_mode:
    description: Shows the names of what is added, never values.
    support: full
seealso:
  - module: slipway.compose.stack_check
"""

EXAMPLES = r"""
- name: Generate what secrets and certificates are missing
  slipway.compose.stack_secrets:
  run_once: true
"""

RETURN = r"""
environment:
  description: Name of the environment.
  returned: success
  type: str
  sample: production
secrets_file:
  description: The secrets file, relative to the checkout if it is in it.
  returned: success
  type: str
  sample: inventories/production/secrets.vault.yml
added:
  description: Names of what was generated; for certificates, with the reason.
  returned: success
  type: list
  elements: str
  sample: [platform/redis, pki/certificates/edge (new)]
"""
