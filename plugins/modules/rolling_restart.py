#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart a service's replicas one at a time without dropping a request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rolling_restart
short_description: Restart a service's replicas one at a time without dropping a request
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Takes each replica of this host out of every router, waits until what is in flight has ended, restarts it,
    waits until it is ready, and lets it back in, before the next one.
  - Run it with C(throttle=1), so that the fleet does one host at a time.
options:
  services:
    description: Services to restart; all of them when empty.
    type: list
    elements: str
    default: []
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  replicas:
    description: This host's replicas. Set by the action plugin.
    type: list
    elements: dict
    default: []
  routers:
    description: Runtime addresses of all routers. Set by the action plugin.
    type: list
    elements: dict
    default: []
  run:
    description: Id of the run, which shows life where it holds the lock. Set by the action plugin.
    type: str
    default: ""
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Restart the API one replica at a time
  slipway.compose.rolling_restart:
    services: [api]
  throttle: 1
"""

RETURN = r"""
turns:
  description: What each replica's turn came to, one line each.
  type: list
  elements: str
  returned: always
  sample: ["api-blue-1: drained"]
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.docker.compose_file import COMPOSE_FILE
from ..module_utils._core.docker.engine import Engine
from ..module_utils._core.locking.lock import LOCK_FILE, alive_if_held
from ..module_utils._core.release.pools import Pools, is_live
from ..module_utils._core.routing.maintenance import refuse_while_out
from ..module_utils._core.routing.rolling import RollingReplica, roll
from ..module_utils._core.routing.traffic import traffic

ARGUMENT_SPEC: dict[str, Any] = {
    "services": {"type": "list", "elements": "str", "default": []},
    "stack": {"type": "str"},
    "replicas": {"type": "list", "elements": "dict", "default": []},
    "routers": {"type": "list", "elements": "dict", "default": []},
    "run": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    root = Path("/opt") / params["stack"]
    pools = Pools(root)
    chosen = [
        replica
        for replica in params["replicas"]
        if (not params["services"] or replica["service"] in params["services"])
        and is_live(replica["name"], pools)
    ]
    names = [replica["name"] for replica in chosen]
    planned = "".join(f"restart {name}\n" for name in names)
    if module.check_mode:
        module.exit_json(changed=bool(names), turns=[], diff={"prepared": planned})
    with reporting(module), alive_if_held(root / LOCK_FILE, params["run"]):
        refuse_while_out(root)
        engine = Engine(runner(module), params["stack"])
        road = traffic(root, params["routers"], chosen, runner(module))

        def restart(replica: RollingReplica) -> None:
            compose_file = str(root / "current" / COMPOSE_FILE)
            engine.restart(compose_file, replica.name, replica.drain + replica.start_timeout)

        turns = roll([road.replicas[name] for name in names], road.routers, restart, road.wait_ready)
        module.exit_json(changed=bool(turns), turns=[str(turn) for turn in turns], diff={"prepared": planned})


if __name__ == "__main__":
    main()
