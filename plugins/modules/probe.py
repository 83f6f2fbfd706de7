#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the new replicas of services through the real edge, before they get traffic."""

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Ask the new replicas of services through the real edge, before they get traffic
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Sends what C(probes) of a service says, or its health path, over TLS to every edge host, which hands it to
    one replica of the new pool, whatever its weight. Each replica is asked three times through each host; a
    second bad answer fails. Nothing is changed, and the requests are not counted as users'.
  - A gRPC service is sent C(grpc.health.v1.Health/Check) through its own route.
  - An edge host whose router does not take probes yet, as before the first release with them, is left out and
    said so.
  - Run it on one host, with C(become).
options:
  services:
    description: By service the pool C(new), and how many C(replicas) of it run on each host.
    type: dict
    required: true
  hosts:
    description: Hosts whose replicas are asked; none given for all.
    type: list
    elements: str
    default: []
  edges_to_come:
    description: Edge hosts whose edge the release has yet to start; none need listen there.
    type: list
    elements: str
    default: []
  stored:
    description: Whether the release is one of another day, which is asked for its health only.
    type: bool
    default: false
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
    default: ""
  edges:
    description: Where the edge hosts are. Set by the action plugin.
    type: list
    elements: dict
    default: []
  subjects:
    description: Pools, replicas and probes. Set by the action plugin.
    type: list
    elements: dict
    default: []
  secret:
    description: What lets a request choose its replica. Set by the action plugin.
    type: str
    default: ""
  title:
    description: What the step is called in the release's record.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Probe the new pool of the API
  slipway.compose.probe:
    services:
      api: {new: green, replicas: 2}
  become: true
  run_once: true
  delegate_to: "{{ stack.components.monitoring.hosts | first }}"
"""

RETURN = r"""
verdict:
  description: V(pass) or V(fail); V(skipped) in check mode.
  type: str
  returned: always
  sample: pass
lines:
  description: What was asked, one line for each pool, and which edge hosts were left out.
  type: list
  elements: str
  returned: always
  sample: ["api (green): 18 probes of 3 replicas through lab-1, lab-2, slowest 41 ms"]
faults:
  description: Everything that was wrong.
  type: list
  elements: str
  returned: always
  sample: []
seconds:
  description: How long it took.
  type: float
  returned: always
  sample: 0.4
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.gate.edge_prober import REMEDY, prober
from ..module_utils._core.locking.lock import LOCK_FILE, alive

ARGUMENT_SPEC: dict[str, Any] = {
    "services": {"type": "dict", "required": True},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "stored": {"type": "bool", "default": False},
    "stack": {"type": "str", "default": ""},
    "edges": {"type": "list", "elements": "dict", "default": []},
    "subjects": {"type": "list", "elements": "dict", "default": []},
    "secret": {"type": "str", "default": "", "no_log": True},
    "run": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if module.check_mode:
        # The plan was told before the first step.
        module.exit_json(changed=False, verdict="skipped", lines=[], faults=[], seconds=0.0)
    params, begun = module.params, time.monotonic()
    with reporting(module), alive(Path("/opt") / params["stack"] / LOCK_FILE, params["run"]):
        asking = prober(Path("/opt") / params["stack"], params["edges"], params["subjects"], params["secret"])
        report = asking.probe()
        told = {
            "verdict": "fail" if report.faults else "pass",
            "lines": asking.lines(report),
            "faults": report.faults,
            "seconds": round(time.monotonic() - begun, 1),
        }
        if report.faults:
            error = SlipwayError(report.faults[0], REMEDY)
            module.fail_json(msg=str(error), problem=error.problem, remedy=error.remedy, **told)
        module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
