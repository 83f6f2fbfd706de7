#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take one step of a rollout on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Take one step of a rollout on one host
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - A rollout moves services from one pool of replicas to the other by steps that all hosts take together.
    M(slipway.compose.rollout_plan) makes them; this module takes one.
  - Running a step again does what is left of it.
options:
  kind:
    description:
      - V(start) brings pools up to a count; each replica is ready, and every router has found it so.
      - V(traffic) sets the weights of pools in this host's routers, and keeps them over a reload.
      - V(retire) brings pools down to a count, each replica drained first.
      - V(rest) lets pools without a share of the traffic finish what they have, and leaves them running.
      - V(stay) looks whether replicas of workers stay up for some O(seconds).
      - V(promote) remembers which pools are live, and which are kept warm.
      - V(home) sends all the traffic back to the old pool at once, in this host's routers and in those of
        O(lost) hosts, wherever each host that serves has all its old replicas. Nothing else is looked at,
        and a router that does not answer is passed over.
    type: str
    choices: [start, traffic, retire, rest, stay, promote, home]
    required: true
  services:
    description: What the step says of each service, as the plan has it.
    type: dict
    required: true
  seconds:
    description: With O(kind=stay), for how long; V(0) looks once. Ends early where another host saw one fall.
    type: float
    default: 0
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
  own_routers:
    description: Runtime addresses of this host's routers, by component. Set by the action plugin.
    type: dict
    default: {}
  weights:
    description: Weights by server, for O(kind=traffic). Set by the action plugin.
    type: dict
    default: {}
  targets:
    description: What a Prometheus on this host scrapes of each pool, as JSON. Set by the action plugin.
    type: str
    default: "{}"
  lost:
    description:
      - For O(kind=home), hosts that cannot be reached, whose routers are told from here.
      - One that still serves, and is out of the control node's reach only, then serves what the others do.
    type: list
    elements: str
    default: []
  homes:
    description: Servers of the old and the new pools by host, for O(kind=home). Set by the action plugin.
    type: list
    elements: dict
    default: []
  lost_routers:
    description: Runtime addresses of the routers of O(lost) hosts. Set by the action plugin.
    type: list
    elements: dict
    default: []
  forgiving:
    description: Whether routers that do not answer are passed over, as on the way back after a host was lost.
    type: bool
    default: false
  title:
    description: What the step is called in the release's record.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Start one replica of the new pool
  slipway.compose.rollout:
    kind: start
    services: {api: {pool: green, count: 1, release: 3f2a9c0d1e5b}}
"""

RETURN = r"""
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: always
  sample: ["start api-green-1 of 3f2a9c0d1e5b"]
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.docker.compose_answers import ANSWERS, ComposeAnswers
from ..module_utils._core.docker.engine import Engine
from ..module_utils._core.gate.worker_watch import stay_up
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.release.homeward import Home, passable, send_home
from ..module_utils._core.release.host_rollout import HostRollout, PoolOrder
from ..module_utils._core.release.pools import Pools, write_metrics
from ..module_utils._core.release.turn import own_turn
from ..module_utils._core.routing.router import Router, client_context
from ..module_utils._core.routing.router_address import Address
from ..module_utils._core.routing.traffic import keep_orders, traffic
from ..module_utils._core.tree import ReleaseTree

# Longer than any single step may take; a step of a run that was killed is waited for.
PATIENCE = 600

ARGUMENT_SPEC: dict[str, Any] = {
    "kind": {
        "type": "str",
        "choices": ["start", "traffic", "retire", "rest", "stay", "promote", "home"],
        "required": True,
    },
    "services": {"type": "dict", "required": True},
    "seconds": {"type": "float", "default": 0},
    "stack": {"type": "str"},
    "replicas": {"type": "list", "elements": "dict", "default": []},
    "routers": {"type": "list", "elements": "dict", "default": []},
    "own_routers": {"type": "dict", "default": {}},
    "weights": {"type": "dict", "default": {}},
    "forgiving": {"type": "bool", "default": False},
    "lost": {"type": "list", "elements": "str", "default": []},
    "homes": {"type": "list", "elements": "dict", "default": []},
    "lost_routers": {"type": "list", "elements": "dict", "default": []},
    "targets": {"type": "str", "default": "{}"},
    "run": {"type": "str", "default": ""},
}


def take(module: AnsibleModule, root: Path) -> list[str]:
    params, run = module.params, runner(module)
    if params["kind"] == "traffic":
        return set_weights(root, params)
    if params["kind"] == "home":
        return home(root, params)
    road = traffic(root, params["routers"], params["replicas"], run, forgiving=params["forgiving"])
    engine = Engine(run, params["stack"], ComposeAnswers(root / ANSWERS, kept=True))
    host = HostRollout(engine, ReleaseTree(root), road.replicas, road.routers, road.wait_ready)
    if params["kind"] == "promote":
        return host.promote(params["services"])
    orders = [
        PoolOrder(
            name, told["pool"], int(told["count"]), told.get("release", ""), told.get("confirmed", True)
        )
        for name, told in params["services"].items()
    ]
    if params["kind"] == "stay":
        here = [name for order in orders for name in order.names if name in road.replicas]
        return stay_up(engine, here, params["seconds"])
    kinds = {"start": host.start, "retire": host.retire, "rest": host.rest}
    return kinds[params["kind"]](orders)


def set_weights(root: Path, params: dict[str, Any]) -> list[str]:
    context = client_context(root / "config/host/tls")
    weights = {server: int(weight) for server, weight in params["weights"].items()}
    done = []
    for component, address in params["own_routers"].items():
        router = Router(Address.from_dict(address), context)
        if router.set_weights(weights):
            done.append(f"{component}: new weights")
        keep_orders(root, component, router)
    pools = Pools(root)
    pools.record({name: pools.of(name).sharing(shares) for name, shares in params["services"].items()})
    return done


def home(root: Path, params: dict[str, Any]) -> list[str]:
    context = client_context(root / "config/host/tls")
    own = {Router(Address.from_dict(it), context): name for name, it in params["own_routers"].items()}
    others = [Router(Address.from_dict(it), context) for it in params["lost_routers"]]

    def kept(router: Router) -> None:
        if router in own:
            keep_orders(root, own[router], router)

    pools = Pools(root)
    homes = passable([Home.from_dict(it) for it in params["homes"]], lambda name: pools.of(name).live)
    return send_home([*own, *others], homes, kept)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if module.check_mode:
        # The plan was told before the first step.
        module.exit_json(changed=False, steps=[])
    root = Path("/opt") / module.params["stack"]
    turn = own_turn(Path(f"/run/slipway-{module.params['stack']}.lock"), PATIENCE)
    with reporting(module), alive(root / LOCK_FILE, module.params["run"]), turn:
        done = take(module, root)
        targets = json.loads(module.params["targets"])
        write_metrics(root, module.params["replicas"], targets, Pools(root))
        module.exit_json(changed=bool(done) and module.params["kind"] != "stay", steps=done)


if __name__ == "__main__":
    main()
