#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Silence alerts for the time of planned work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: silence
short_description: Silence alerts for the time of planned work
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Sets a silence in every Alertmanager of the environment, or ends it. It says who asked for it and why, and
    ends by itself, so that a run that is killed leaves nobody in the dark.
  - Alerts that the whole site or the cluster of databases is ill are never silenced.
options:
  state:
    description: Whether the silence shall be there. It is known by its comment and by what it silences.
    type: str
    choices: [present, absent]
    default: present
  host:
    description: Silences every alert of this host; this, O(services) or O(everything).
    type: str
  services:
    description: Silences the warnings of these services. What is critical is told.
    type: list
    elements: str
    default: []
  everything:
    description: Silences every alert of the environment.
    type: bool
    default: false
  comment:
    description: Why.
    type: str
    required: true
  seconds:
    description: When it ends by itself, from now on; at most 12 hours.
    type: int
    default: 3600
  owner:
    description: Who asks for it. Set by the action plugin unless given.
    type: str
    default: ""
  alertmanagers:
    description: Where Alertmanagers answer, as host and port. Set by the action plugin.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Silence a host that is being patched
  slipway.compose.silence:
    host: app-2.example.com
    comment: kernel update
    seconds: 7200
  run_once: true

- name: Silence all of the environment while it is hurt on purpose
  slipway.compose.silence:
    everything: true
    comment: a drill of our own
  run_once: true

- name: End that of the host
  slipway.compose.silence:
    state: absent
    host: app-2.example.com
    comment: kernel update
  run_once: true
"""

RETURN = r"""
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: success
  sample: ["Alertmanager (10.0.0.13:9093): silence 0b1d… until 2026-11-26T23:00:00Z"]
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting
from ..module_utils._core.monitoring import silences

CHOICES = ("host", "services", "everything")
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "host": {"type": "str"},
    "services": {"type": "list", "elements": "str", "default": []},
    "everything": {"type": "bool", "default": False},
    "comment": {"type": "str", "required": True},
    "seconds": {"type": "int", "default": 3600},
    "owner": {"type": "str", "default": ""},
    "alertmanagers": {"type": "list", "elements": "dict", "default": []},
}


def chosen(params: dict[str, Any], now: datetime) -> silences.Silence:
    """What is silenced."""
    told = (params["owner"], params["comment"], params["seconds"], now)
    if params["host"]:
        return silences.of_host(params["host"], *told)
    if params["everything"]:
        return silences.of_everything(*told)
    return silences.of_services(params["services"], *told)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        mutually_exclusive=[CHOICES],
        required_one_of=[CHOICES],
    )
    params, now = module.params, datetime.now(UTC)
    with reporting(module):
        wanted = chosen(params, now)
        if module.check_mode:
            module.exit_json(changed=True, steps=[])
        where = [silences.Alertmanager(it["host"], it["port"]) for it in params["alertmanagers"]]
        done = silences.bring(where, wanted, params["state"] == "present", now)
        module.exit_json(changed=bool(done), steps=done)


if __name__ == "__main__":
    main()
