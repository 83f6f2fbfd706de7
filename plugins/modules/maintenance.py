#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a host out of service for patching, and back in, without dropping a request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Take a host out of service for patching, and back in, without dropping a request
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - One host at a time. While it is out, C(/opt/<stack>/state/maintenance.json) on every host says so, and
    whatever would change the environment is refused.
  - The playbook C(playbooks/maintenance.yml) puts the states in order.
options:
  state:
    description:
      - V(possible) refuses on the control node what the other hosts could not carry. No host is contacted.
      - V(out), on every host, tells its routers to send nothing new to O(host), also after they start anew.
      - V(empty), on O(host) itself, hands over what it leads, sends its edge's clients away, and drains and
        stops its replicas. On other hosts it does nothing.
      - V(full), on O(host) itself, starts its replicas and waits until they are ready.
      - V(in), on every host, lets O(host) have traffic again, and on O(host) waits until every router finds
        it up.
    type: str
    choices: [possible, out, empty, full, in]
    required: true
  host:
    description: Inventory name of the host that goes out, or comes back.
    type: str
    required: true
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  own:
    description: Whether this is the host in question. Set by the action plugin.
    type: bool
    default: false
  edge:
    description: Whether this host has an edge. Set by the action plugin.
    type: bool
    default: false
  roles:
    description: Probes of this host's databases. Set by the action plugin.
    type: list
    elements: dict
    default: []
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
  own_routers:
    description: Runtime addresses of this host's routers, by component. Set by the action plugin.
    type: dict
    default: {}
  by:
    description: Who takes the host out. Set by the action plugin.
    type: str
    default: ""
  since:
    description: When the host was taken out. Set by the action plugin.
    type: str
    default: ""
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Send nothing new to a host
  slipway.compose.maintenance:
    state: out
    host: app-2.example.com

- name: Hand over, drain and stop
  slipway.compose.maintenance:
    state: empty
    host: app-2.example.com
"""

RETURN = r"""
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: always
  sample: ["PostgreSQL: app-1.example.com leads", "api-blue-1: drained", "edge: nobody is connected"]
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.docker.engine import Engine
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.release.pools import Pools, is_live, write_metrics
from ..module_utils._core.release.turn import own_turn
from ..module_utils._core.routing import maintenance
from ..module_utils._core.routing.host_service import HostService, leave_out, of_followers, take_back
from ..module_utils._core.routing.maintenance import Out
from ..module_utils._core.routing.router import Router, client_context
from ..module_utils._core.routing.router_address import Address
from ..module_utils._core.routing.traffic import traffic

# Longer than any single state may take; a module of a run that was killed is waited for.
PATIENCE = 600

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["possible", "out", "empty", "full", "in"], "required": True},
    "host": {"type": "str", "required": True},
    "stack": {"type": "str"},
    "own": {"type": "bool", "default": False},
    "edge": {"type": "bool", "default": False},
    "roles": {"type": "list", "elements": "dict", "default": []},
    "replicas": {"type": "list", "elements": "dict", "default": []},
    "routers": {"type": "list", "elements": "dict", "default": []},
    "own_routers": {"type": "dict", "default": {}},
    "by": {"type": "str", "default": ""},
    "since": {"type": "str", "default": ""},
    "run": {"type": "str", "default": ""},
}


def bring(module: AnsibleModule, root: Path) -> list[str]:
    params, run, pools = module.params, runner(module), Pools(root)
    state, host = params["state"], params["host"]
    context = client_context(root / "config/host/tls")
    beside = {name: Router(Address.from_dict(told), context) for name, told in params["own_routers"].items()}
    live = [replica for replica in params["replicas"] if is_live(replica["name"], pools)]
    # The other hosts were found well just before; a router of this one may be why it goes.
    road = traffic(root, params["routers"], params["replicas"], run, forgiving=state == "empty")
    own = HostService(run, root, Engine(run, params["stack"]), road, [replica["name"] for replica in live])
    if state == "out":
        maintenance.note(root, Out(host, params["since"], params["by"]))
        try:
            return leave_out(root, beside, host)
        except SlipwayError:
            if not params["own"]:
                raise
            return []
    if state == "in":
        maintenance.forget(root)
        return take_back(root, beside, host) + (own.admit() if params["own"] else [])
    if not params["own"]:
        return []
    if state == "empty":
        # Nobody shall be alarmed by what does not run on purpose.
        write_metrics(root, [], {}, pools)
        return own.hand_over(of_followers(params["roles"])) + own.empty(has_edge=params["edge"])
    done = own.fill()
    write_metrics(root, params["replicas"], {}, pools)
    return done


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=params["state"] != "possible", steps=[])
    root = Path("/opt") / params["stack"]
    turn = own_turn(Path(f"/run/slipway-{params['stack']}.lock"), PATIENCE)
    with reporting(module), alive(root / LOCK_FILE, params["run"]), turn:
        done = bring(module, root)
        module.exit_json(changed=bool(done), steps=done)


if __name__ == "__main__":
    main()
