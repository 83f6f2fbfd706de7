#!/usr/bin/python
# GPL-3.0-or-later
"""Bring a database's schema to a migration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migrate
short_description: Bring a database's schema to a migration
version_added: "0.1.0"
author: Slipway contributors
description:
  - Applies the SQL files of a folder in the order of their numbers, C(000001_name.up.sql) with
    C(000001_name.down.sql) beside it.
  - Every file runs in one session that holds an advisory lock, in one transaction together with the row of
    the table C(public.slipway_migrations) that records it. Whatever ends the session early leaves nothing of
    the file.
  - A file whose opening lines hold C(-- slipway:\ no-transaction) runs statement by statement, for what
    PostgreSQL refuses inside a transaction, such as C(CREATE INDEX CONCURRENTLY). It is recorded before it
    starts. When it did not reach its end, the next run repeats it if it also says
    C(-- slipway:\ repeatable), and otherwise tells which statement it stopped at and changes nothing.
  - Files that were edited after they ran, are missing, or came with a number below those applied are refused
    before anything runs, as are files with C(BEGIN), C(COMMIT), C(SET ROLE) or C(psql) commands.
options:
  database:
    description: Database to change.
    type: str
    required: true
  owner:
    description: Role to run as, so that new objects belong to it. The database's own name by default.
    type: str
  directory:
    description: Folder on the host that holds the files.
    type: path
    required: true
  target:
    description: V(latest), or the number of the last migration the database is to have; V(0) for none.
    type: str
    default: latest
  allow_down:
    description: Whether migrations above O(target) may be reverted, and data with them.
    type: bool
    default: false
  lock_timeout:
    description:
      - How long a statement may wait for a lock before the file is given up and tried again, as long as
        O(wait) allows. Others that need the table wait behind it.
    type: str
    default: 5s
  statement_timeout:
    description: How long one statement may take; V(0) for any time.
    type: str
    default: 15min
  run:
    description: Id of the run, which shows life where it holds the lock. Set by the action plugin.
    type: str
    default: ""
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
    default: ""
extends_documentation_fragment:
  - slipway.compose.slipway
  - slipway.compose.slipway.postgres
"""

EXAMPLES = r"""
- name: Bring the schema up to date
  slipway.compose.migrate:
    container: wayfare-postgres-1
    database: wayfare
    directory: /opt/wayfare/current/migrations/api

- name: Show what would run
  slipway.compose.migrate:
    container: wayfare-postgres-1
    database: wayfare
    directory: /opt/wayfare/current/migrations/api
  check_mode: true

- name: Go back to migration 3
  slipway.compose.migrate:
    container: wayfare-postgres-1
    database: wayfare
    directory: /opt/wayfare/current/migrations/api
    target: 3
    allow_down: true
"""

RETURN = r"""
leader:
  description: Whether the member of this host leads, and therefore was the one to change.
  type: bool
  returned: success
  sample: true
steps:
  description: Files that ran, or in check mode would run, in order.
  type: list
  elements: str
  returned: success
  sample: ["apply 000004_add_seats.up.sql"]
level:
  description: The highest migration the database has.
  type: int
  returned: success, on the leader
  sample: 4
status:
  description: Every migration of the folder and the database, with its state.
  type: list
  elements: dict
  returned: success, on the leader
  sample:
    - number: 4
      name: add_seats
      state: applied
      applied_at: "2026-11-22T18:20:00+00:00"
      applied_by: deploy@control
      duration_ms: 12
"""

import os
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.lock import LOCK_FILE, alive_if_held
from ..module_utils._core.member import ARGUMENTS, leads, patience
from ..module_utils._core.migration_sql import Session
from ..module_utils._core.migrations import goal, level, plan, status
from ..module_utils._core.migrator import Goal, Migrator, folder
from ..module_utils._core.postgres import AbsentError, Psql, exists, seconds

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "database": {"type": "str", "required": True},
    "owner": {"type": "str"},
    "directory": {"type": "path", "required": True},
    "target": {"type": "str", "default": "latest"},
    "allow_down": {"type": "bool", "default": False},
    "lock_timeout": {"type": "str", "default": "5s"},
    "statement_timeout": {"type": "str", "default": "15min"},
    "run": {"type": "str", "default": ""},
    "stack": {"type": "str", "default": ""},
}


def result(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    server = Psql(runner(module), params["container"])
    seconds("lock_timeout", params["lock_timeout"])
    limit = seconds("statement_timeout", params["statement_timeout"])
    if not _leads(module, server):
        return {"changed": False, "leader": False, "steps": []}
    files = folder(Path(params["directory"]))
    wanted = Goal(files, goal(params["target"], files), params["allow_down"])
    session = Session(
        params["owner"] or params["database"], params["lock_timeout"], params["statement_timeout"], _by()
    )
    database = server.on(params["database"])
    migrator = Migrator(database, session, limit, lambda: patience(params["wait"]))
    if module.check_mode:
        # A first deployment is predicted before its database exists.
        ledger = migrator.ledger() if exists(server, params["database"]) else []
        steps = plan(wanted.folder, ledger, wanted.target, wanted.allow_down)
    else:
        steps, ledger = migrator.run(wanted)
    lines = [str(step) for step in steps]
    return {
        "changed": bool(steps),
        "leader": True,
        "steps": lines,
        "level": level(ledger),
        "status": status(files, ledger),
        "diff": {"before": "", "after": "".join(f"{line}\n" for line in lines)},
    }


def _leads(module: AnsibleModule, server: Psql) -> bool:
    try:
        return leads(server, 0 if module.check_mode else module.params["wait"], module.params["patroni"])
    except AbsentError as error:
        if not module.check_mode:
            raise
        module.warn(f"{error.problem}, so its changes cannot be predicted")
        return False


def _by() -> str:
    return f"{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}@{socket.gethostname()}"


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    lock = Path("/opt") / module.params["stack"] / LOCK_FILE
    with reporting(module), alive_if_held(lock, module.params["run"]):
        module.exit_json(**result(module))


if __name__ == "__main__":
    main()
