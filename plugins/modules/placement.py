#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""See which hosts keep data, and refuse to begin anew elsewhere without consent."""

from __future__ import annotations

DOCUMENTATION = r"""
module: placement
short_description: Refuse to leave data behind on a host
version_added: 0.8.0
author: Slipway contributors (@slipway)
description:
  - Some settings of a stack say which hosts keep data, such as C(components.logs.hosts). Where a deployment
    would have other hosts keep them, what the old ones hold stays there, and the new ones begin empty.
  - Hosts are asked what the release that serves says of it; nothing is changed. Of hosts that the inventory
    no longer has, the others tell.
options:
  state:
    description:
      - V(seen) tells what the release that serves on this host says.
      - V(judged), on the control node, raises with all that would be left behind.
    type: str
    choices: [seen, judged]
    default: seen
  found:
    description: Results of V(seen) of all hosts, for V(judged).
    type: list
    elements: dict
    default: []
  consent:
    description:
      - Settings whose data may begin anew on other hosts, for example V(logs), V(backup), V(services.search).
      - PostgreSQL's and Redis's are moved by members that copy them, and no deployment changes etcd's
        members, so that nothing of these begins anew beside a host that has it. V(postgres) lets databases
        begin empty where all their hosts are gone.
    type: list
    elements: str
    default: []
  refuses:
    description: Whether V(judged) refuses, or only warns.
    type: bool
    default: true
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Ask the hosts where the serving release keeps data
  slipway.compose.placement:
  become: true
  register: __placement_seen

- name: Refuse to leave data behind
  slipway.compose.placement:
    state: judged
    found: "{{ ansible_play_hosts | map('extract', hostvars, '__placement_seen') }}"
  run_once: true
"""

RETURN = r"""
placement:
  description: Settings and the hosts that they name; empty before the first release.
  type: dict
  returned: when O(state=seen)
  sample: {logs: [app-3.example.com], registry: [app-3.example.com]}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.release.stored import placement
from ..module_utils._core.tree import ReleaseTree

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["seen", "judged"], "default": "seen"},
    "found": {"type": "list", "elements": "dict", "default": []},
    "consent": {"type": "list", "elements": "str", "default": []},
    "refuses": {"type": "bool", "default": True},
    "stack": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    told = placement(ReleaseTree(Path("/opt") / module.params["stack"]))
    module.exit_json(changed=False, placement=told)


if __name__ == "__main__":
    main()
