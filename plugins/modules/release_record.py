#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the record of a run, and read the records of earlier ones."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_record
short_description: Keep the record of a run, and read those of earlier runs
version_added: 0.2.0
author: Slipway contributors (@slipway)
description:
  - Keeps one JSON file a run on every host, C(/opt/<stack>/state/history/<id>.json), the newest 200.
  - Where the stack has PostgreSQL, the leader keeps a row a run in C(slipway.deployment_logs) of the database
    C(postgres). A database that does not take it fails nothing; the result says so.
  - V(begun) and V(ended) tell the hooks of the stack, from the control node, once a run. A hook that cannot
    be told fails nothing either.
  - The id, who, from where, when it began and the source revision are the same for every task of a run.
  - What dashboards mark is C(state/metrics/runs.prom), when the newest run began, and when and how it ended.
  - Keeping this book is no change of the host. A dry run keeps none and tells nobody.
options:
  state:
    description:
      - V(begun) writes the record with the outcome C(running), and says of earlier runs that never ended that
        they were interrupted. Only for a run that holds the lock, see M(slipway.compose.stack_lock).
      - V(noted) adds to it while the run goes on.
      - V(ended) completes it.
      - V(listed) reads the newest records of this host.
      - V(shown) prints what O(seen) holds of all hosts, on the control node alone.
    type: str
    choices: [begun, noted, ended, listed, shown]
    required: true
  what:
    description: What the run does, in a word; V(deploy) unless given.
    type: str
  release:
    description: Id of the release.
    type: str
  previous:
    description: Id of the release before; by default the one that was current when the run began.
    type: str
  images:
    description: Image and service names to references pinned by digest.
    type: dict
  services:
    description:
      - By service, C(strategy), and C(plan), its steps, a line each; no steps where it is unchanged.
    type: dict
  steps:
    description:
      - Steps of the run, each with C(name), and as far as known C(service), C(host), C(begun) and C(ended)
        (ISO 8601, UTC), C(verdict), C(detail) and C(numbers), a dictionary.
      - One that is given again, with the same name, service, host and begin, replaces what was said of it.
    type: list
    elements: dict
  outcome:
    description: What the run came to. With O(state=ended).
    type: str
    choices: [succeeded, rolled_back, failed, interrupted, unchanged]
  reason:
    description: Why, in a sentence.
    type: str
  id:
    description: With O(state=listed) or O(state=shown), the one record to read.
    type: str
  limit:
    description: With O(state=listed) or O(state=shown), how many records at most.
    type: int
    default: 20
  format:
    description: With O(state=shown), how they are printed.
    type: str
    choices: [table, json]
    default: table
  file:
    description: With O(state=shown), a file on the control node that gets the same.
    type: path
  seen:
    description: With O(state=shown), the name of the variable that holds what V(listed) returned.
    type: str
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  record:
    description: What is to be kept. Set by the action plugin.
    type: dict
    default: {}
  container:
    description: Container of this host's PostgreSQL member, if it has one. Set by the action plugin.
    type: str
  wait:
    description: Seconds to wait for a member that leads.
    type: int
    default: 5
  patroni:
    description: Patroni's API on this host, as M(slipway.compose.database) has it. Set by the action plugin.
    type: dict
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Record that the release begins
  slipway.compose.release_record:
    state: begun
    release: "{{ __release.release }}"
    images: "{{ release_images }}"
    services: {api: {strategy: canary, plan: [start 1 replica in green, "10 % of the traffic, 60 s"]}}
  become: true

- name: Record how it ended
  slipway.compose.release_record:
    state: ended
    outcome: rolled_back
    reason: the new release answers 12 % of its requests with errors, more than 1 %
    steps:
      - name: judge 10 %
        service: api
        begun: "2026-11-22T14:15:02Z"
        ended: "2026-11-22T14:16:02Z"
        verdict: fail
        numbers: {error_rate: 0.12, requests: 4210}
  become: true
"""

RETURN = r"""
id:
  description: Id of this run's record.
  type: str
  returned: when something is written
  sample: 20261122T141502-3f2a9c
record:
  description: This run's record as the host keeps it now.
  type: dict
  returned: when something is written
interrupted:
  description: Earlier runs that never said how they ended, a line each.
  type: list
  elements: str
  returned: when O(state=begun)
database:
  description: What became of the row; empty where another member leads, or none is declared.
  type: str
  returned: when something is written
  sample: written
hooks:
  description: What became of each hook, a line each; on the one host whose task told them.
  type: list
  elements: str
  returned: when O(state=begun) or O(state=ended)
records:
  description: The records, the newest first.
  type: list
  elements: dict
  returned: when O(state=listed) or O(state=shown)
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.history import record_sql
from ..module_utils._core.history.record import OUTCOMES, Record, updated
from ..module_utils._core.history.record_store import FOLDER, History
from ..module_utils._core.history.record_text import one_line
from ..module_utils._core.history.release_marker import FILE as MARKER
from ..module_utils._core.history.release_marker import marker
from ..module_utils._core.postgresql.member import ARGUMENTS, leads
from ..module_utils._core.postgresql.postgres import Psql
from ..module_utils._core.tree import File, ReleaseTree, write_file

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["begun", "noted", "ended", "listed", "shown"], "required": True},
    "what": {"type": "str"},
    "release": {"type": "str"},
    "previous": {"type": "str"},
    "images": {"type": "dict"},
    "services": {"type": "dict"},
    "steps": {"type": "list", "elements": "dict"},
    "outcome": {"type": "str", "choices": [*OUTCOMES[1:]]},
    "reason": {"type": "str"},
    "id": {"type": "str"},
    "limit": {"type": "int", "default": 20},
    "format": {"type": "str", "choices": ["table", "json"], "default": "table"},
    "file": {"type": "path"},
    "seen": {"type": "str"},
    "stack": {"type": "str"},
    "record": {"type": "dict", "default": {}},
    "container": {"type": "str"},
    "wait": {"type": "int", "default": 5},
    "patroni": ARGUMENTS["patroni"],
}


def listed(history: History, run: str | None, limit: int) -> dict[str, Any]:
    found = [history.read(run)] if run else history.newest(limit)
    return {"changed": False, "records": [record.to_dict() for record in found if record]}


def written(module: AnsibleModule, history: History, root: Path) -> dict[str, Any]:
    """Keep the record; then the row, where the member here leads."""
    news = Record.from_dict(module.params["record"])
    kept = history.read(news.id)
    record = updated(kept, news)
    closed = []
    if module.params["state"] == "begun":
        closed = history.close_interrupted(record.id)
        record = updated(Record(**{**_identity(record), "previous": ReleaseTree(root).current or ""}), record)
    history.write(record)
    write_file(root / MARKER, File(MARKER, marker(record), 0o644, os.geteuid()))
    return {
        "changed": False,
        "id": record.id,
        "record": record.to_dict(),
        "interrupted": [one_line(old) for old in closed],
        "database": "" if module.params["state"] == "noted" else _row(module, [*closed, record]),
    }


def _identity(record: Record) -> dict[str, str]:
    return {"id": record.id, "begun": record.begun, "who": record.who, "machine": record.machine}


def _row(module: AnsibleModule, records: list[Record]) -> str:
    params = module.params
    if not params["container"]:
        return ""
    psql = Psql(runner(module), params["container"])
    try:
        if not leads(psql, params["wait"], params["patroni"]):
            return ""
        record_sql.write(psql, records)
    except SlipwayError as error:
        return f"not written: {error.problem}"
    return "written"


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    root = Path("/opt") / params["stack"]
    history = History(root / FOLDER)
    with reporting(module):
        if params["state"] == "listed":
            module.exit_json(**listed(history, params["id"], params["limit"]))
        if module.check_mode:
            module.exit_json(changed=False, skipped=True)
        module.exit_json(**written(module, history, root))


if __name__ == "__main__":
    main()
