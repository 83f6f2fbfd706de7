#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a chosen member lead PostgreSQL, clone one anew, or restart those that wait for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_leader
short_description: Have a chosen member lead PostgreSQL, clone one anew, or restart those that wait for it
version_added: 0.4.0
author: Slipway contributors (@slipway)
description:
  - Acts on one of PostgreSQL's hosts, which the action plugin chooses; on the others it does nothing, but
    for V(writable).
  - What is not safe is refused, with every reason at once, before anything is changed; also in check mode.
options:
  state:
    description:
      - V(switched) moves the leadership with the old leader's help, which loses nothing.
      - V(failed_over) moves it without. It is refused while a leader is well, unless O(forced).
      - V(recloned) deletes the data of O(host) and copies the leader's.
      - V(restarted) restarts every member that waits for it because a parameter was changed; replicas first,
        then the leader, which hands over before.
      - V(writable), on PostgreSQL's hosts, has the leader commit a message into its WAL, which waits for
        synchronous replicas like any commit.
    type: str
    choices: [switched, failed_over, recloned, restarted, writable]
    required: true
  host:
    description: Inventory name of the member that shall lead, by default the best; of the one to be cloned.
    type: str
    default: ""
  forced:
    description: Whether what may lose data, or leaves no second copy meanwhile, shall be done all the same.
    type: bool
    default: false
  wait:
    description: Seconds until the cluster must be whole again.
    type: int
    default: 120
  "on":
    description: Inventory name of the host that acts, in place of the one the action plugin would choose.
    type: str
    default: ""
  members:
    description: Patroni's API of each member, by inventory name. Set by the action plugin.
    type: dict
    default: {}
  lag:
    description: Most bytes that a member which is to lead may lag. Set by the action plugin.
    type: int
    default: 0
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.member
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Have app-2 lead
  slipway.compose.postgres_leader:
    state: switched
    host: app-2.example.com
  become: true
"""

RETURN = r"""
steps:
  description: What was done, or in check mode would be, one line each.
  type: list
  elements: str
  returned: always
  sample: ["app-2 leads PostgreSQL, app-1 before", "no member accepted writes for 1.4 s"]
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.postgresql import leadership, postgres_restart
from ..module_utils._core.postgresql.member import leads
from ..module_utils._core.postgresql.patroni_cluster import PatroniCluster, patience
from ..module_utils._core.postgresql.postgres import Psql

STATES = ["switched", "failed_over", "recloned", "restarted", "writable"]
MESSAGE = "SELECT pg_logical_emit_message(true, 'slipway', 'does this commit?');"
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "required": True},
    "host": {"type": "str", "default": ""},
    "forced": {"type": "bool", "default": False},
    "wait": {"type": "int", "default": 120},
    "on": {"type": "str", "default": ""},
    "members": {"type": "dict", "default": {}},
    "lag": {"type": "int", "default": 0},
    "container": {"type": "str"},
    "patroni": {"type": "dict"},
    "stack": {"type": "str"},
    "run": {"type": "str", "default": ""},
}


def bring(module: AnsibleModule, cluster: PatroniCluster) -> list[str]:
    """Steps done; in check mode those that would be."""
    params, now, dry = module.params, cluster.view(), module.check_mode
    seconds = params["wait"]
    state, host, forced, lag = (params[name] for name in ("state", "host", "forced", "lag"))
    if state == "recloned":
        leadership.reclone(now, host, forced=forced)
        return (
            [f"{host}: data deleted, copied from the leader"]
            if dry
            else cluster.reclone(host, params["wait"])
        )
    if state == "restarted":
        plan = postgres_restart.plan(now, lag, forced=forced)
        return (
            [str(step) for step in plan]
            if dry
            else postgres_restart.carry_out(cluster, plan, params["wait"], lag)
        )
    planned = state == "switched"
    if planned:
        move = leadership.switchover(now, host, lag)
    else:
        move = leadership.failover(now, host, lag, forced=forced)
    if not move:
        return []
    return [str(move)] if dry else cluster.move(move, patience(seconds), lag, planned=planned)


def writable(module: AnsibleModule) -> dict[str, Any]:
    psql = Psql(runner(module), module.params["container"])
    if not leads(psql, module.params["wait"], module.params["patroni"]):
        return {"leader": False, "steps": []}
    psql.ask(MESSAGE)
    return {"leader": True, "steps": ["a write was committed"]}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    root = Path("/opt") / params["stack"]
    with reporting(module):
        if params["state"] == "writable":
            module.exit_json(changed=False, **({"steps": []} if module.check_mode else writable(module)))
        cluster = PatroniCluster(runner(module), params["stack"], params["members"])
        with alive(root / LOCK_FILE, params["run"]):
            steps = bring(module, cluster)
        after = "".join(f"{step}\n" for step in steps)
        module.exit_json(changed=bool(steps), steps=steps, diff={"before": "", "after": after})


if __name__ == "__main__":
    main()
