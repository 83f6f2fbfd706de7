#!/usr/bin/python
# GPL-3.0-or-later
"""Keep PostgreSQL roles and databases as declared."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database
short_description: Keep PostgreSQL roles and databases as declared
version_added: "0.1.0"
author: Slipway contributors
description:
  - Creates roles with their passwords and settings, and databases that only their owner may use.
  - A password is compared with, and sent as, its SCRAM-SHA-256 verifier. It never stands in SQL, in an
    argument or in a log.
  - Nothing is removed that is not named. Roles and databases that are not declared are left alone.
options:
  roles:
    description: Roles to have.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      password:
        description: Its password. Without one, the server's is left alone.
        type: str
      login:
        description: Whether it may log in.
        type: bool
        default: true
      connection_limit:
        description: Connections it may have at once; V(-1) for any number.
        type: int
        default: -1
      member_of:
        description: Roles it is to be a member of, for example V(pg_monitor). Others are left alone.
        type: list
        elements: str
        default: []
      settings:
        description:
          - Parameters its sessions start with, for example V(statement_timeout). Others are reset.
          - Without this option, the role's settings are left alone.
        type: dict
  databases:
    description: Databases to have.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: Role that owns it. Nobody else may connect to it, or create in its schema V(public).
        type: str
        required: true
      connect:
        description: Roles that may connect to it beside its owner. Other grants are left alone.
        type: list
        elements: str
        default: []
      extensions:
        description: Extensions it is to have; a superuser creates them. Others are left alone.
        type: list
        elements: str
        default: []
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
- name: Give every service its database
  slipway.compose.database:
    container: wayfare-postgres-1
    roles:
      - name: wayfare
        password: "{{ database_password }}"
        settings: {statement_timeout: 30s, idle_in_transaction_session_timeout: 60s}
      - {name: monitor, password: "{{ monitor_password }}", member_of: [pg_monitor]}
    databases:
      - {name: wayfare, owner: wayfare, connect: [monitor], extensions: [pg_trgm]}
  diff: false
"""

RETURN = r"""
leader:
  description: Whether the member of this host leads, and therefore was the one to change.
  type: bool
  returned: success
  sample: true
steps:
  description: What was done, or in check mode would be, one line each.
  type: list
  elements: str
  returned: success
  sample: ["create role wayfare", "set password of role wayfare", "create database wayfare owned by wayfare"]
"""

import secrets
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.locking.lock import LOCK_FILE, alive_if_held
from ..module_utils._core.postgresql import database_server
from ..module_utils._core.postgresql.databases import Change, Database, Role, changes
from ..module_utils._core.postgresql.member import ARGUMENTS, leads
from ..module_utils._core.postgresql.postgres import AbsentError, Psql

ARGUMENT_SPEC: dict[str, Any] = {
    **ARGUMENTS,
    "roles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "login": {"type": "bool", "default": True},
            "connection_limit": {"type": "int", "default": -1},
            "member_of": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "dict"},
        },
    },
    "databases": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "connect": {"type": "list", "elements": "str", "default": []},
            "extensions": {"type": "list", "elements": "str", "default": []},
        },
    },
    "run": {"type": "str", "default": ""},
    "stack": {"type": "str", "default": ""},
}


def role(params: dict[str, Any]) -> Role:
    settings = params["settings"]
    if settings is not None:
        # YAML reads `on` as a boolean; PostgreSQL writes it as a word.
        words = {True: "on", False: "off"}
        settings = {
            name: words[value] if isinstance(value, bool) else str(value) for name, value in settings.items()
        }
    return Role(
        params["name"],
        params["password"],
        params["login"],
        params["connection_limit"],
        tuple(params["member_of"]),
        settings,
    )


def database(params: dict[str, Any]) -> Database:
    return Database(params["name"], params["owner"], tuple(params["extensions"]), tuple(params["connect"]))


def planned(psql: Psql, params: dict[str, Any]) -> list[Change]:
    names = [item["name"] for item in params["databases"]]
    return changes(
        [role(item) for item in params["roles"]],
        [database(item) for item in params["databases"]],
        database_server.roles(psql),
        database_server.databases(psql, names),
        lambda: secrets.token_bytes(16),
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    lock = Path("/opt") / module.params["stack"] / LOCK_FILE
    with reporting(module), alive_if_held(lock, module.params["run"]):
        psql = Psql(runner(module), params["container"])
        try:
            leader = leads(psql, 0 if module.check_mode else params["wait"], params["patroni"])
        except AbsentError as error:
            if not module.check_mode:
                raise
            module.warn(f"{error.problem}, so its changes cannot be predicted")
            leader = False
        steps = planned(psql, params) if leader else []
        if not module.check_mode:
            database_server.apply(psql, steps)
        lines = [str(step) for step in steps]
        module.exit_json(
            changed=bool(steps),
            leader=leader,
            steps=lines,
            diff={"before": "", "after": "".join(f"{line}\n" for line in lines)},
        )


if __name__ == "__main__":
    main()
