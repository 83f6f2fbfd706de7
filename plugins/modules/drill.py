#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let something befall a host on purpose, while a ledger of writes is kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Let something befall a host on purpose, while a ledger of writes is kept
version_added: 0.4.0
author: Slipway contributors (@slipway)
description:
  - V(begun) starts a ledger on the control node, which writes through the reference application.
  - V(struck) lets the fault begin on the host that the drill is about, and notes the moment in the ledger.
    The fault ends by itself, also where the run is interrupted.
  - V(recovered), on the host where a table was dropped, brings it back from a copy that
    M(slipway.compose.restore) has made there, and fails where not all of it came back.
  - V(healed), on the host whose backup was damaged, ends that before its time.
  - V(over), once the host can be reached again, makes sure that the fault did begin.
  - V(ended) ends the ledger, asks the application for each acknowledged write, and writes the report.
  - V(told) leaves what it came to on a host, where node-exporter reads it.
options:
  state:
    description: See above.
    type: str
    choices: [begun, struck, recovered, healed, over, ended, told]
    required: true
  drill:
    description: Name of the drill; C(docs/drills.md) has them all.
    type: str
    required: true
  seconds:
    description:
      - How long the fault lasts, where the drill's own time does not suit. For V(begun), after how long the
        ledger ends by itself.
    type: int
  folder:
    description: Folder on the control node for the ledger and the report.
    type: path
  whole:
    description: For V(ended), when all was well again, in seconds since the epoch; V(0) where it never was.
    type: float
  result:
    description: For V(told), what V(ended) returned as RV(result).
    type: dict
    options:
      ended:
        description: When it ended, in seconds since the epoch.
        type: float
        required: true
      ok:
        description: Whether it cost no more than the stack allows.
        type: bool
        required: true
      rto:
        description: Seconds without a write; none where writes never came back.
        type: float
      rpo:
        description: Seconds of acknowledged writes that were lost.
        type: float
        required: true
      well:
        description: Seconds until all was well again; none where it never was.
        type: float
  copy:
    description: For V(recovered), the container in which the restored copy answers.
    type: str
  content:
    description: For V(recovered), what RV(content) was.
    type: str
  fault:
    description: What befalls the host. Set by the action plugin.
    type: str
    choices: [kill, vanish, hang, stop, suspend, fill, partition, drop, corrupt]
  container:
    description: Container of the component that the drill is about. Set by the action plugin.
    type: str
  address:
    description: This host's address. Set by the action plugin.
    type: str
  peers:
    description: The other hosts' addresses. Set by the action plugin.
    type: list
    elements: str
    default: []
  leads:
    description:
      - Probe that succeeds where this host's member leads; none where nobody need lead.
        Set by the action plugin.
    type: dict
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.lock_holder
"""

EXAMPLES = r"""
- name: Let the fault begin
  slipway.compose.drill:
    state: struck
    drill: primary_kill
    folder: "{{ slipway_checkout }}/drills/lab"
  become: true
"""

RETURN = r"""
struck:
  description: Whether this is the host that the fault befalls.
  type: bool
  returned: state is struck
at:
  description: When it began, in seconds since the epoch, by the control node's clock.
  type: float
  returned: state is struck, on that host
seconds:
  description: How long it lasts.
  type: int
  returned: state is struck, on that host
moment:
  description: When the table that was dropped was still there, as a time of ISO 8601.
  type: str
  returned: state is struck and a table was dropped, on that host
content:
  description: Number of its rows, and a digest of them.
  type: str
  returned: state is struck and a table was dropped, on that host
  sample: 100000 7f0c3a1f6ed7c1fd4f4ba19f4fd1b94f
backup:
  description: Label of the backup that is damaged.
  type: str
  returned: state is struck and a backup is damaged, on that host
  sample: 20261126-020412F
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: always
result:
  description: What it came to, for V(told).
  type: dict
  returned: state is ended
report:
  description: Where the report is, without its ending (C(.md), C(.html), C(.json)).
  type: str
  returned: state is ended
failures:
  description: What must not have come of it; nothing where all was well.
  type: list
  elements: str
  returned: state is ended
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.checks.health import OK, Probe
from ..module_utils._core.checks.probes import measure
from ..module_utils._core.drill import drill_backup, drill_metrics, drill_table
from ..module_utils._core.drill.drill_host import DrillHost
from ..module_utils._core.drill.drills import CORRUPT, DROP
from ..module_utils._core.locking.lock import LOCK_FILE, alive
from ..module_utils._core.postgresql.postgres import Psql

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {
        "type": "str",
        "choices": ["begun", "struck", "recovered", "healed", "over", "ended", "told"],
        "required": True,
    },
    "drill": {"type": "str", "required": True},
    "seconds": {"type": "int"},
    "folder": {"type": "path"},
    "whole": {"type": "float"},
    "result": {
        "type": "dict",
        "options": {
            "ended": {"type": "float", "required": True},
            "ok": {"type": "bool", "required": True},
            "rto": {"type": "float"},
            "rpo": {"type": "float", "required": True},
            "well": {"type": "float"},
        },
    },
    "copy": {"type": "str"},
    "content": {"type": "str"},
    "fault": {
        "type": "str",
        "choices": ["kill", "vanish", "hang", "stop", "suspend", "fill", "partition", "drop", "corrupt"],
    },
    "container": {"type": "str"},
    "address": {"type": "str"},
    "peers": {"type": "list", "elements": "str", "default": []},
    "leads": {"type": "dict"},
    "stack": {"type": "str"},
    "run": {"type": "str", "default": ""},
}

ASIDE = ("over", "healed", "told")


def aside(params: dict[str, Any], host: DrillHost) -> list[str]:
    """One of ASIDE: it needs nobody's lock, for it hurts nothing."""
    if params["state"] == "over":
        host.require_begun(params["fault"])
        return []
    if params["state"] == "healed":
        host.heal()
        return ["the damage is gone"]
    result = drill_metrics.Result(**params["result"])
    drill_metrics.write(Path("/opt") / params["stack"], params["drill"], result)
    return ["the monitoring is told"]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, run = module.params, runner(module)
    host = DrillHost(run, params["container"], params["address"], params["peers"])
    with reporting(module):
        if params["state"] in ASIDE:
            steps = [] if module.check_mode else aside(params, host)
            module.exit_json(changed=params["state"] != "over", steps=steps)
        if params["fault"] == DROP and params["state"] == "struck":
            drill_table.refuse_beside(run, params["container"])  # on every member, whoever leads
        if params["leads"] and params["state"] == "struck":
            (found,) = measure([Probe.from_dict(params["leads"])], run, 0)
            if found.status != OK:
                module.exit_json(changed=False, struck=False, steps=[])
        what = f"{params['fault']} {params['container']}, {params['seconds']} s"
        if module.check_mode:
            module.exit_json(changed=True, struck=True, steps=[what])
        with alive(Path("/opt") / params["stack"] / LOCK_FILE, params["run"]):
            leader = Psql(run, params["container"])
            if params["state"] == "recovered":
                drill_table.take_back(run, leader, params["copy"], params["content"])
                module.exit_json(changed=True, steps=[f"{drill_table.TABLE} is back"])
            if params["fault"] == DROP:
                told = asdict(drill_table.drop(leader))
            elif params["fault"] == CORRUPT:
                label = drill_backup.newest(run, params["container"], params["stack"])
                damage = drill_backup.damage(run, params["container"], params["stack"], label)
                told = {"at": host.let(damage.begin, damage.end, params["seconds"]), "backup": label}
            else:
                told = {"at": host.strike(params["fault"], params["seconds"])}
        module.exit_json(changed=True, struck=True, seconds=params["seconds"], steps=[what], **told)


if __name__ == "__main__":
    main()
