#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the rollouts of a release over the whole fleet (action-only)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Plan the rollouts of a release over the whole fleet
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Compares what M(slipway.compose.stack_release) has found on every host and prints how each changed service
    gets from its old replicas to its new ones, before the first step. Runs on the control node.
  - What runs decides, so a rollout that was interrupted is continued, and leftovers of others are removed.
  - Fails, with everything that stands in the way on any host, when a host was refused by C(stack_release),
    when it has less memory available than the limits of what the plan runs there at once beyond what runs
    now, or when a service that changes has no error budget left. A part that the release relies
    on and that is not well only warns where the release changes that part.
options:
  prepared:
    description: Name of the variable with what C(stack_release) returned, on every host.
    type: str
    required: true
  back:
    description: Plan the way back from wherever a rollout to this release has come.
    type: bool
    default: false
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Plan the rollouts
  slipway.compose.rollout_plan:
    prepared: __release
  register: __rollout
  run_once: true
"""

RETURN = r"""
moves:
  description: Steps to take before the edge is brought to the release, each by all hosts together.
  type: list
  elements: dict
  returned: always
closing:
  description: Steps to take after it.
  type: list
  elements: dict
  returned: always
after:
  description: Jobs to run when the release serves.
  type: list
  elements: dict
  returned: when O(back=false)
home:
  description: By service, what M(slipway.compose.rollout) needs for C(kind=home).
  type: dict
  returned: when O(back=false)
  sample: {api: {old: blue, new: green, live: blue, replicas: 2, veterans: [lab-1, lab-2]}}
warm:
  description: The same for services whose free pool is kept warm and is the release wanted, where all are.
  type: dict
  returned: when O(back=false)
  sample: {}
edges_to_come:
  description: Edge hosts whose edge does not run yet; probes need not reach it.
  type: list
  elements: str
  returned: when O(back=false)
judge:
  description: The host that judges, the first with a Prometheus.
  type: str
  returned: when O(back=false)
plan:
  description: The plan in words, one line a stage.
  type: list
  elements: str
  returned: always
  sample: ["api: start 1 of 2 new replicas on each host, 5 % of the traffic, judge for 1 min"]
"""
