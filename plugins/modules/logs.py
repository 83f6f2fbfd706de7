#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what containers have said, on all hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: logs
short_description: Read what containers have said, on all hosts
version_added: 0.4.0
author: Slipway contributors (@slipway)
description:
  - V(read) reads the logs of a component, or of every replica of a service, on a host; they may have ended.
    Where the stack has a log store (C(stack/components/logs)), the host with the store searches it for all
    hosts, and the others read nothing.
  - V(shown) prints what all hosts have read, in the order of time. Run it once.
options:
  state:
    description: See above.
    type: str
    choices: [read, shown]
    default: read
  component:
    description:
      - A component, a service, a job, or one replica such as C(api-blue-1). In a log store also a service of
        the hosts themselves, such as C(docker).
      - Needed where there is no store, or O(store=false).
    type: str
    default: ""
  lines:
    description: How many lines at most, the newest ones.
    type: int
    default: 50
  since:
    description: No older lines than this, an age such as V(15m) or a time such as V(2026-11-27T15:00:00Z).
    type: str
    default: ""
  contains:
    description:
      - Only lines with this in them, such as a request's id. Without RV(ignore:since) those of the last hour.
    type: str
    default: ""
  before:
    description:
      - No newer lines than this, written as O(since). Only in a log store, like the options that follow.
    type: str
    default: ""
  request:
    description:
      - Only lines of this request, by the id that the edge gave it or took from the client (C(X-Request-ID)).
    type: str
    default: ""
  release:
    description: Only lines of containers that this release made.
    type: str
    default: ""
  host:
    description: Only lines of this host.
    type: str
    default: ""
  audit:
    description: Look in the store of who did what, which keeps its lines for years.
    type: bool
    default: false
  store:
    description: V(false) reads what each host has kept, also where there is a log store.
    type: bool
    default: true
  address:
    description: Where this host asks the log store. Set by the action plugin.
    type: str
    default: ""
  seen:
    description: For V(shown), the variable in which every host's V(read) was registered.
    type: str
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Read what is said of a request
  slipway.compose.logs:
    component: api
    contains: 3f2a9c1d0b6a
  become: true
  register: __logs

- name: Show it
  slipway.compose.logs:
    state: shown
    seen: __logs
  run_once: true

- name: Read what everything that took part says of a request, where there is a log store
  slipway.compose.logs:
    request: 3f2a9c1d0b6a
  become: true
  register: __logs
"""

RETURN = r"""
said:
  description: The lines, each with its time, host and container.
  type: list
  elements: str
  returned: always
  sample: ["2026-11-27T15:17:24.298163205Z lab-3 api-blue-1 {\"level\": \"info\", \"event\": \"started\"}"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.logs.log_lines import containers, read, since_from
from ..module_utils._core.logs.log_store import Search, find
from ..module_utils._core.transport import Trust

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["read", "shown"], "default": "read"},
    "component": {"type": "str", "default": ""},
    "lines": {"type": "int", "default": 50},
    "since": {"type": "str", "default": ""},
    "contains": {"type": "str", "default": ""},
    "before": {"type": "str", "default": ""},
    "request": {"type": "str", "default": ""},
    "release": {"type": "str", "default": ""},
    "host": {"type": "str", "default": ""},
    "audit": {"type": "bool", "default": False},
    "store": {"type": "bool", "default": True},
    "address": {"type": "str", "default": ""},
    "seen": {"type": "str"},
    "stack": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, run = module.params, runner(module)
    with reporting(module):
        if params["address"]:
            tls = f"/opt/{params['stack']}/config/host/tls"
            trust = Trust(f"{tls}/ca.crt", f"{tls}/tls.crt", f"{tls}/tls.key")
            said = find(Search.from_dict(params), params["address"], trust, module.warn)
            module.exit_json(changed=False, said=said)
        since = since_from(params["since"], params["contains"])
        told = {
            name: read(run, container, params["lines"], since, params["contains"])
            for name, container in containers(run, params["stack"], params["component"]).items()
        }
        module.exit_json(changed=False, told=told)


if __name__ == "__main__":
    main()
