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
  - A file is an I(expand), which the release that still serves can live with, unless its opening lines hold
    C(-- slipway:\ contract). The table records which it was.
  - Files that were edited after they ran, are missing, or came with a number below those applied are refused
    before anything runs, as are files with C(BEGIN), C(COMMIT), C(SET ROLE) or C(psql) commands.
options:
  state:
    description:
      - V(applied) runs what is missing.
      - V(planned) runs nothing. It says what a release with these files would run, and what stands in the
        way. The action plugin has the files that are new judged by C(squawk) on the control node, and fails
        with everything that was found.
      - V(permitted) runs nothing. It fails where a stored release with these files could not serve with the
        schema as it is.
    type: str
    choices: [applied, planned, permitted]
    default: applied
  phase:
    description:
      - With O(state=applied), which of the files. V(expand) ends with the last expand; contracts among them
        must be known to the release that serves already. V(contract) is the rest, for services whose setting
        C(contract) is C(after_watch). Without it, all of them.
    type: str
    choices: [expand, contract]
  release:
    description: Id of the prepared release that has the files; by default the one that serves.
    type: str
  serving:
    description: Folder with the migrations of the release that serves. Set by the action plugin.
    type: path
  restore_point:
    description:
      - Name of a restore point that is set before the first file runs. It is of use where WAL is archived.
        Set by the action plugin.
    type: str
    default: ""
  must_lead:
    description: Whether it is a failure that no member can be asked. Otherwise nothing is judged.
    type: bool
    default: true
  database:
    description: Database to change. Unless it is given, the action plugin sets that of each service.
    type: str
    required: true
  owner:
    description:
      - Role that logs in to run the files, so that new objects belong to it, and what a file hides can do no
        more than it. It must be allowed to log in and to connect. The database's own name by default.
    type: str
  directory:
    description: Folder on the host that holds the files. The action plugin sets it as O(database).
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

- name: Run what the release that serves has left
  slipway.compose.migrate:
  become: true

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
restore_point:
  description: Name and position of the restore point; empty where nothing had to run.
  type: dict
  returned: when O(state=applied), on the leader
  sample: {name: slipway-20261122T141502-3f2a9c, lsn: 0/3000060}
judged:
  description: Whether the leader was here and could be asked, or there is nothing to judge.
  type: bool
  returned: when O(state=planned) or O(state=permitted)
problems:
  description: What stands in the way, each with file and remedy.
  type: list
  elements: str
  returned: when O(state=planned) or O(state=permitted)
expand:
  description: Files that would run before the release gets traffic.
  type: list
  elements: str
  returned: when O(state=planned)
contract:
  description: Files that would run once it is alone.
  type: list
  elements: str
  returned: when O(state=planned)
fresh:
  description: Whether no release serves that knows this database, so that nobody can be disturbed.
  type: bool
  returned: when O(state=planned), on the leader
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
from ..module_utils._core.backup.restore_point import RestorePoint
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.locking.lock import LOCK_FILE, alive_if_held
from ..module_utils._core.migration.migration_phases import expand_target, obstacles, outlook, served
from ..module_utils._core.migration.migration_sql import Session
from ..module_utils._core.migration.migrations import Record, goal, level, plan, status
from ..module_utils._core.migration.migrator import Goal, Migrator, folder
from ..module_utils._core.postgresql.member import ARGUMENTS, leads, patience
from ..module_utils._core.postgresql.postgres import AbsentError, Psql, exists, seconds

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "state": {"type": "str", "choices": ["applied", "planned", "permitted"], "default": "applied"},
    "phase": {"type": "str", "choices": ["expand", "contract"]},
    "release": {"type": "str"},
    "serving": {"type": "path"},
    "restore_point": {"type": "str", "default": ""},
    "must_lead": {"type": "bool", "default": True},
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
        return {"changed": False, "leader": False, "steps": [], "judged": False}
    directory, known = Path(params["directory"]), params["state"] != "permitted"
    # A release from before the service had migrations has no folder.
    files = folder(directory) if known or directory.is_dir() else ()
    serving = served(Path(params["serving"])) if params["serving"] else ()
    database = server.on(params["database"])
    session = Session(
        params["owner"] or params["database"], params["lock_timeout"], params["statement_timeout"], _by()
    )
    mark = RestorePoint(database, params["restore_point"])
    migrator = Migrator(database, session, limit, lambda: patience(params["wait"]), mark.set)
    ledger: list[Record] = []
    first = params["phase"] == "expand"
    if _runs(module):
        # What is to run says what must be known beforehand; each session sees for itself.
        ledger = migrator.ledger() if first else []
    # A first deployment is predicted before its database exists.
    elif exists(server, params["database"]):
        ledger = migrator.ledger()
    if params["state"] == "planned":
        seen = outlook(files, ledger, serving)
        return {"changed": False, "leader": True, "judged": True, **seen.told()}
    if params["state"] == "permitted":
        found = [str(problem) for problem in obstacles(files, ledger, serving)]
        return {"changed": False, "leader": True, "judged": True, "problems": found}
    target = expand_target(files, ledger, serving) if first else goal(params["target"], files)
    wanted = Goal(files, target, params["allow_down"])
    if _runs(module):
        try:
            steps, ledger = migrator.run(wanted)
        except SlipwayError as error:
            raise SlipwayError(f"{error.problem}{mark.told}", error.remedy) from error
    else:
        steps = plan(wanted.folder, ledger, wanted.target, wanted.allow_down)
    lines = [str(step) for step in steps]
    return {
        "changed": bool(steps),
        "leader": True,
        "steps": lines,
        "restore_point": mark.point,
        "level": level(ledger),
        "status": status(files, ledger),
        "diff": {"before": "", "after": "".join(f"{line}\n" for line in lines)},
    }


def _runs(module: AnsibleModule) -> bool:
    return not module.check_mode and module.params["state"] == "applied"


def _leads(module: AnsibleModule, server: Psql) -> bool:
    params = module.params
    try:
        return leads(server, 0 if module.check_mode else params["wait"], params["patroni"])
    except SlipwayError as error:
        absent = isinstance(error, AbsentError)
        if params["must_lead"] and not (absent and module.check_mode):
            raise
        # Before a first deployment there is no member, and nothing to be warned of.
        if module.check_mode:
            module.warn(f"{error.problem}, so its changes cannot be predicted")
        elif not absent:
            module.warn(f"{error.problem}, so migrations are judged once a member leads")
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
