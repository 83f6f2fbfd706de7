"""Tell the module which databases the stack's services own; only hosts with a PostgreSQL member are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction, material


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        secrets = material(self.declared, {}).secrets
        names = sorted(
            {service.database for service in self.declared.stack.services.values() if service.database}
        )
        declared = {
            **member(self.declared.stack, self.view),
            "stack": self.declared.stack.name,
            "run": self.lock_holder(),
            "roles": [{"name": name, "password": secrets[f"database_{name}"]} for name in names],
            "databases": [{"name": name, "owner": name} for name in names],
        }
        return self.module({**declared, **arguments}, task_vars)
