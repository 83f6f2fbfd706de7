#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold a release at a gate: judge the new pools of its services for a time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: "Hold a release at a gate: judge the new pools of its services for a time"
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Looks every second at what the edge counted for the new and the old pool of each service, and at what
    every router says of the new pool's replicas. Nothing is changed.
  - Meanwhile goes on asking the services' C(probes) through every edge host; one that fails three times in
    a row ends the gate.
  - Fails at once when a replica of a new pool is down on every router or went down twice, when a router stops
    answering, or when a gate of the service has clearly failed. Clear is what a pool within its limit would
    show less than once in a hundred times, and more than a single bad request.
  - Judges at the end of the time what was not clear before, then simply by the limits.
  - Run it on one host with a Prometheus, the first of C(stack.components.monitoring.hosts), with C(become).
options:
  services:
    description:
      - What is judged. By service the pools C(new) and, where there is one to compare with, C(old).
      - C(replicas) says how many replicas of the new pool run on each host, and must be up. Without it, those
        must stay up that have been.
    type: dict
    required: true
  hosts:
    description: Hosts whose replicas must be up, and are probed; none given for all.
    type: list
    elements: str
    default: []
  seconds:
    description: How long to judge. 0 looks once, at replicas and the services' own queries only.
    type: float
    default: 0
  since:
    description: Seconds since the epoch from which requests count; the beginning of this task if not given.
    type: float
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
    default: ""
  routers:
    description: Runtime addresses of all routers. Set by the action plugin.
    type: list
    elements: dict
    default: []
  edges_to_come:
    description: Edge hosts whose edge the release has yet to start; none need listen there.
    type: list
    elements: str
    default: []
  stored:
    description: Whether the release is one of another day, which is probed for its health only.
    type: bool
    default: false
  edges:
    description: Where the edge hosts are, for probes. Set by the action plugin.
    type: list
    elements: dict
    default: []
  subjects:
    description: Pools, replicas and probes. Set by the action plugin.
    type: list
    elements: dict
    default: []
  secret:
    description: What lets a probe choose its replica. Set by the action plugin.
    type: str
    default: ""
  title:
    description: What the step is called in the release's record.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.prometheus
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Judge the new pool of the API for two minutes
  slipway.compose.gate:
    services:
      api: {new: green, old: blue, replicas: 2}
    seconds: 120
  become: true
  run_once: true
  delegate_to: "{{ stack.components.monitoring.hosts | first }}"
"""

RETURN = r"""
verdict:
  description: V(pass), V(fail) or V(inconclusive), the worst of all services; V(skipped) in check mode.
  type: str
  returned: always
  sample: pass
services:
  description: By service the verdict, what every gate came to, and what both pools did.
  type: dict
  returned: always
  sample:
    api:
      verdict: pass
      findings:
        - gate: errors
          observed: 0.4
          limit: 2.0
          verdict: pass
          sentence: 1 of 250 requests failed (0.4 %), limit 2 %
          clear: false
      new: {requests: 250, errors: 1, p95: 0.0121, p99: 0.0282}
      old: {requests: 2240, errors: 4, p95: 0.0119, p99: 0.0274}
      unanswered: {requests: 0, errors: 0, p95: null, p99: null}
alarms:
  description: What ended the gate at once, beside the services' own gates.
  type: list
  elements: dict
  returned: always
  sample: []
lines:
  description: All of it as sentences.
  type: list
  elements: str
  returned: always
  sample: ["api errors: pass, 1 of 250 requests failed (0.4 %), limit 2 %"]
seconds:
  description: How long it was judged.
  type: float
  returned: always
  sample: 120.0
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import PROMETHEUS, reporting
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.gate.edge_counts import EdgeCounts
from ..module_utils._core.gate.edge_prober import prober, watching
from ..module_utils._core.gate.gate_measure import measuring
from ..module_utils._core.gate.gatekeeping import Look, Outcome, Watched, report, watch
from ..module_utils._core.gate.server_watch import LOOKS_DOWN, PATIENCE, ServerWatch, WatchedRouter
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.prometheus import Prometheus
from ..module_utils._core.routing.router import client_context
from ..module_utils._core.routing.router_address import Address

ARGUMENT_SPEC: dict[str, Any] = {
    "services": {"type": "dict", "required": True},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "seconds": {"type": "float", "default": 0},
    "since": {"type": "float"},
    "stack": {"type": "str", "default": ""},
    "routers": {"type": "list", "elements": "dict", "default": []},
    "prometheus": PROMETHEUS,
    "stored": {"type": "bool", "default": False},
    "edges": {"type": "list", "elements": "dict", "default": []},
    "subjects": {"type": "list", "elements": "dict", "default": []},
    "secret": {"type": "str", "default": "", "no_log": True},
    "run": {"type": "str", "default": ""},
}


def server_watch(params: dict[str, Any], services: Sequence[Watched]) -> ServerWatch:
    routers = []
    if params["routers"]:
        context = client_context(Path("/opt") / params["stack"] / "config/host/tls")
        routers = [WatchedRouter(Address.from_dict(address), context) for address in params["routers"]]
    return ServerWatch(
        routers,
        {one.service: one.servers for one in services},
        {server for one in services for server in one.expected},
        # A single look has no second one to wait for.
        looks_down=LOOKS_DOWN if params["seconds"] else 1,
        patience=PATIENCE if params["seconds"] else 0.0,
    )


def hold(params: dict[str, Any], probes: Sequence[Look] = ()) -> Outcome:
    """`probes`: what else to look at every second; an alarm of theirs ends the gate."""
    services = [Watched.from_dict(values) for values in params["services"].values()]
    if params["prometheus"] is None:
        raise SlipwayError("no Prometheus to judge by", "Give `stack.components.monitoring` a host")
    since = params["since"] or (time.time() if params["seconds"] else None)
    prometheus = Prometheus(**params["prometheus"])
    counts = EdgeCounts(prometheus.ask, [one.service for one in services], since) if since else None
    looks = [server_watch(params, services).look, *probes]
    return watch(services, measuring(services, prometheus, counts), looks, params["seconds"])


def probes(params: dict[str, Any]) -> list[Look]:
    """The services' probes, over and over. A single look has no time for them."""
    if not params["subjects"] or not params["seconds"]:
        return []
    asking = prober(Path("/opt") / params["stack"], params["edges"], params["subjects"], params["secret"])
    return [watching(asking, ThreadPoolExecutor(1))]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, verdict="skipped", services={}, alarms=[], lines=[], seconds=0.0)
    lock = Path("/opt") / module.params["stack"] / LOCK_FILE
    with reporting(module), alive(lock, module.params["run"]):
        outcome = hold(module.params, probes(module.params))
        told = report(outcome)
        if outcome.refused:
            error = SlipwayError("; ".join(outcome.refused), outcome.remedy)
            module.fail_json(msg=str(error), problem=error.problem, remedy=error.remedy, **told)
        module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
