#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring one host to a release of the stack."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_release
short_description: Bring one host to a release of the stack
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Prepares a release completely before anything that runs is touched, then commits it phase by phase.
  - The release's files are rendered on the control node by the action plugin of the same name
    and reconciled here in one call.
  - An interrupted run is repaired by running it again, because every step is planned from the running system.
options:
  state:
    description:
      - V(prepared) stores the release, pulls its images and lets each component check its new configuration.
        Where steps are planned it first looks for what would stand in their way (images that their registry
        does not have, disk space, no PostgreSQL leader, no Redis master, a router of this host that does not
        answer), and fails with all of RV(refused).
      - V(committed) carries out the steps of one O(phase).
      - V(finished) removes what is no longer declared and points C(current) at the release.
      - V(served) changes nothing and tells which release serves, and of which images it is.
    type: str
    choices: [prepared, committed, finished, served]
    default: prepared
  phase:
    description: Which part of the stack to commit.
    type: str
    choices: [data, services, edge]
  actions:
    description: Kinds of step to commit.
    type: list
    elements: str
    choices: [create, start, readmit, reload, restart, replace]
    default: [create, start, readmit, reload, restart, replace]
  timeout:
    description: Seconds that started containers have to become healthy.
    type: int
    default: 300
  keep:
    description: Releases kept on the host. Set by the action plugin from the stack.
    type: int
    default: 5
  only_replicas:
    description: Whether O(state=prepared) refuses whatever would change beside numbers of replicas.
    type: bool
    default: false
  protected:
    description: Ids of releases that are kept beside those. Set by the action plugin from the stack.
    type: list
    elements: str
    default: []
  minimum_free:
    description: Bytes that must be free beside what images to be pulled need, before a release is stored.
    type: int
    default: 2147483648
  backup_age:
    description:
      - Hours that the newest backup may be old when a release begins; V(0) asks nobody.
        Set by the action plugin.
    type: int
    default: 0
  without_backup:
    description: Whether a release may begin although the newest backup is too old.
    type: bool
    default: false
  without_budget:
    description:
      - Whether a release may begin although a service that it changes has no error budget left.
      - Prometheus is asked on its own host. Where nothing answers within seconds there is a warning, and the
        release goes on.
    type: bool
    default: false
  checked:
    description: Whether O(state=prepared) looks for what stands in the way, where steps are planned.
    type: bool
    default: true
  image_paths:
    description: Where in the stack each image reference comes from. Set by the action plugin.
    type: dict
    default: {}
  leaders:
    description: Probes of PostgreSQL's and Redis's members, of which one must lead. Set by the action plugin.
    type: dict
    default: {}
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  release:
    description:
      - Id of the release. With O(state=prepared), one that is stored on the hosts, or V(previous), to return
        to; by default the one that is declared.
    type: str
  files:
    description: The release's files, as JSON. Set by the action plugin.
    type: str
    default: "[]"
  confidential:
    description:
      - Files, or folders with a slash at the end, of which a diff tells only that they change.
        Set by the action plugin.
    type: list
    elements: str
    default: [config/]
  units:
    description: How each Compose service is checked and reloaded. Set by the action plugin.
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
  targets:
    description: What a Prometheus on this host scrapes of each pool, as JSON. Set by the action plugin.
    type: str
    default: "{}"
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.prometheus
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Prepare the release
  slipway.compose.stack_release:
    state: prepared
  register: __release

- name: Start the data tier
  slipway.compose.stack_release:
    state: committed
    phase: data
"""

RETURN = r"""
release:
  description: Id of the release, a fingerprint of all hosts' trees.
  type: str
  returned: always
steps:
  description: The steps planned (O(state=prepared)) or done, one line each.
  type: list
  elements: str
  returned: always
behind:
  description: Whether this host is not yet at the release.
  type: bool
  returned: when O(state=prepared)
current:
  description: Id of the release that C(current) points at; empty before the first.
  type: str
  returned: when O(state=prepared)
pending:
  description: Kinds of step planned, by phase.
  type: dict
  returned: when O(state=prepared)
  sample: {data: [create], services: [], edge: [reload]}
turn:
  description:
    - Which turn the next run to hold the lock has on this host. If it is the caller's, nobody changed the
      host since; V(0) where somebody held the lock while this was found out.
  type: int
  returned: when O(state=prepared)
changing:
  description: Components and services with a step.
  type: list
  elements: str
  returned: when O(state=prepared)
starting:
  description: Components that do not run here, and will.
  type: list
  elements: str
  returned: when O(state=prepared)
  sample: [router, edge]
refused:
  description: What stands in the way here; the module fails where it is not empty.
  type: list
  elements: dict
  returned: when O(state=prepared)
  sample:
    - {check: redis, problem: Redis has no master, remedy: "Bring one back first: docs/runbooks/redis.md"}
spent:
  description: Error budgets that are gone and the share of them that was spent, for C(rollout_plan).
  type: list
  elements: dict
  returned: when O(state=prepared)
  sample: [{service: api, objective: availability, spent: 1.43}]
room:
  description: Bytes of memory C(available), and C(limits) of what runs, for M(slipway.compose.rollout_plan).
  type: dict
  returned: when O(state=prepared)
services:
  description: What M(slipway.compose.rollout_plan) must know of each service with replicas on this host.
  type: dict
  returned: when O(state=prepared)
live:
  description: By service the pool on record as live here, also of services without replicas here.
  type: dict
  returned: when O(state=prepared)
  sample: {api: green}
images:
  description: Component and service names to the references that serve, as the release has them.
  type: dict
  returned: when O(state=served)
migrates:
  description: Whether its migrations are others than those of what serves, or it is not known what has run.
  type: bool
  returned: when O(state=prepared)
jobs:
  description: Jobs of the release that this host is yet to run.
  type: list
  elements: dict
  returned: when O(state=prepared)
  sample: [{name: warm_cache, service: api, command: [warm], when: before_traffic, deadline: 600}]
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import PROMETHEUS, reporting, runner
from ..module_utils._core.docker.compose_answers import ANSWERS, ComposeAnswers
from ..module_utils._core.docker.engine import Engine
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.gate import error_budget
from ..module_utils._core.locking.lock import LOCK_FILE, LockFile, alive, alive_if_held
from ..module_utils._core.prometheus import Prometheus
from ..module_utils._core.refusals import Refusal
from ..module_utils._core.release import prepared, preparing
from ..module_utils._core.release.definitions import Definitions
from ..module_utils._core.release.host_release import HostRelease
from ..module_utils._core.release.job_run import HostJobs
from ..module_utils._core.release.jobs import done as done_jobs
from ..module_utils._core.release.jobs import pending as pending_jobs
from ..module_utils._core.release.plan import Unit
from ..module_utils._core.release.pools import Pools, write_metrics
from ..module_utils._core.release.preparing import Preparation, Told
from ..module_utils._core.release.release_diff import file_changes
from ..module_utils._core.release.services_seen import ServicesSeen
from ..module_utils._core.release.stored import previous, served
from ..module_utils._core.release.turn import own_turn
from ..module_utils._core.routing.maintenance import refuse_while_out
from ..module_utils._core.routing.traffic import orders, traffic
from ..module_utils._core.rules.scaling import require_only_numbers
from ..module_utils._core.tree import File, ReleaseTree

ACTIONS = ["create", "start", "readmit", "reload", "restart", "replace"]

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {
        "type": "str",
        "choices": ["prepared", "committed", "finished", "served"],
        "default": "prepared",
    },
    "phase": {"type": "str", "choices": ["data", "services", "edge"]},
    "actions": {"type": "list", "elements": "str", "choices": ACTIONS, "default": ACTIONS},
    "timeout": {"type": "int", "default": 300},
    "keep": {"type": "int", "default": 5},
    "only_replicas": {"type": "bool", "default": False},
    "protected": {"type": "list", "elements": "str", "default": []},
    "minimum_free": {"type": "int", "default": 2 * 1024**3},
    "backup_age": {"type": "int", "default": 0},
    "without_backup": {"type": "bool", "default": False},
    "prometheus": PROMETHEUS,
    "without_budget": {"type": "bool", "default": False},
    "checked": {"type": "bool", "default": True},
    "image_paths": {"type": "dict", "default": {}},
    "leaders": {"type": "dict", "default": {}},
    "stack": {"type": "str"},
    "release": {"type": "str"},
    # One text, not a list: Ansible would blot out each number in it (modes, owners) all over the result.
    "files": {"type": "str", "default": "[]", "no_log": True},
    "confidential": {"type": "list", "elements": "str", "default": ["config/"]},
    "units": {"type": "list", "elements": "dict", "default": []},
    "replicas": {"type": "list", "elements": "dict", "default": []},
    "routers": {"type": "list", "elements": "dict", "default": []},
    "own_routers": {"type": "dict", "default": {}},
    "targets": {"type": "str", "default": "{}"},
    "run": {"type": "str", "default": ""},
}


def units(declared: Sequence[Mapping[str, Any]]) -> list[Unit]:
    return [Unit(**{**unit, "check": tuple(unit["check"])}) for unit in declared]


def spent_budgets(module: AnsibleModule) -> list[dict[str, Any]]:
    """Error budgets that are gone, from the host that knows. Other numbers of replicas spend none."""
    params = module.params
    if not params["prometheus"] or params["without_budget"] or params["only_replicas"]:
        return []
    prometheus = Prometheus(**params["prometheus"], deadline=error_budget.DEADLINE)
    return error_budget.spent(prometheus.ask, module.warn)


def prepare(
    module: AnsibleModule, engine: Engine, host: HostRelease, seen: ServicesSeen, tree: ReleaseTree
) -> dict[str, Any]:
    params = module.params
    turn = LockFile(tree.root / LOCK_FILE).next_turn()
    files = [File.from_dict(file) for file in json.loads(params["files"])] or tree.staged(params["release"])
    if not files:
        raise SlipwayError(
            f"release {params['release']} is not stored on this host",
            "Choose one of `playbooks/history.yml`, or deploy it from the revision that made it",
        )
    before = tree.staged(tree.current) if tree.current else []
    release, changes = params["release"], file_changes(before, files)
    if params["only_replicas"]:
        require_only_numbers([change.path for change in changes], host.preview(files))
    # Other numbers of replicas change no data.
    asked = params["backup_age"] and not (params["without_backup"] or params["only_replicas"])
    told = Told(
        params["minimum_free"],
        params["image_paths"],
        params["leaders"],
        params["own_routers"],
        timedelta(hours=params["backup_age"]) if asked else None,
    )
    it = Preparation(tree.root, engine, host, files, told)
    preparing.prepare(it, checked=params["checked"], dry=module.check_mode)
    known = not any(refusal.check == "definition" for refusal in it.refusals.found)
    if it.steps:
        for replica in host.unwell():
            module.warn(f"{replica} is not well before the release has begun")
    # A scaling is a release of its own only by name: jobs wait for the next real one.
    jobs = [] if params["only_replicas"] else pending_jobs(files, done_jobs(tree, release))
    return {
        **prepared.told(it, release, tree.current or "", changes, jobs, confidential=params["confidential"]),
        "turn": turn,
        "services": seen.tell(release, it.steps, files) if known else {},
        "spent": spent_budgets(module) if tree.current and params["checked"] else [],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_if=[("state", "committed", ["phase"])],
    )
    params = module.params
    tree = ReleaseTree(Path("/opt") / params["stack"])
    # Preparing touches nothing that runs: it is done with the lock and without.
    if params["state"] == "served":
        with reporting(module):
            module.exit_json(changed=False, **served(tree))
    life = alive_if_held if params["state"] == "prepared" else alive
    turn = own_turn(Path(f"/run/slipway-{params['stack']}.lock"), params["timeout"])
    with reporting(module), life(tree.root / LOCK_FILE, params["run"]), turn:
        refuse_while_out(tree.root)
        run = runner(module)
        told = orders(tree.root, params["routers"], params["replicas"], run)
        answers = ComposeAnswers(tree.root / ANSWERS, kept=not module.check_mode)
        engine = Engine(run, params["stack"], answers, still=params["state"] == "prepared")
        if params["release"] == "previous":
            params["release"] = previous(tree)
        pools = Pools(tree.root)
        definitions = Definitions(engine, tree, units(params["units"]))
        host = HostRelease(engine, tree, params["release"], definitions, orders=told, pools=pools)
        if params["state"] == "prepared":
            seen = ServicesSeen(engine, tree, definitions, orders=told, pools=pools)
            result = prepare(module, engine, host, seen, tree)
            if result["refused"]:
                reasons = [str(Refusal(**refusal)) for refusal in result["refused"]]
                module.fail_json(msg=" ".join(reasons), release=params["release"], **result)
            module.exit_json(release=params["release"], **result)
        if module.check_mode:
            # What would be committed was reported by `prepared`; nothing is stored that could be read here.
            module.exit_json(changed=False, release=params["release"], steps=[])
        if params["state"] == "committed":
            road = traffic(tree.root, params["routers"], params["replicas"], run, params["own_routers"])
            done = host.commit(params["phase"], params["actions"], params["timeout"], road)
        else:
            done = host.finish(params["keep"], params["protected"])
            done += HostJobs(run, params["stack"], tree).sweep(params["release"])
        write_metrics(tree.root, params["replicas"], json.loads(params["targets"]), pools)
        module.exit_json(changed=bool(done), release=params["release"], steps=done)


if __name__ == "__main__":
    main()
