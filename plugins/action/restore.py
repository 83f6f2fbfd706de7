"""Say which host does which step of a restore, and carry the plan from the backup host to PostgreSQL's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.wording import listed
from ..plugin_utils.job_action import JobAction
from ..plugin_utils.native import native
from ..plugin_utils.postgres_member import member
from ..plugin_utils.stack_action import Result
from ..plugin_utils.this_run import this_run

_NOTHING = {"skipped": True, "skip_reason": "another host does this"}


class ActionModule(JobAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        parts, state = self.declared.stack.components, arguments["state"]
        if not parts.backup or not parts.postgres:
            raise SlipwayError(
                f"the stack {self.declared.stack.name} has no backups",
                "Declare stack/components/backup and deploy: docs/runbooks/backups.md",
            )
        members = parts.postgres.hosts
        chosen = arguments.pop("on", "") or members[0]
        if chosen not in members:
            raise SlipwayError(f"{chosen} has no PostgreSQL", f"Restore on one of {listed(members)}")
        others = tuple(name for name in members if name != chosen)
        doing = {"planned": parts.backup.hosts[:1], "marked": members, "stopped": members}
        doing |= {"restored": (chosen,), "swapped": (chosen,), "joined": others, "given_up": members}
        doing |= {"bare": tuple(self.topology.views), "reached": members}
        if self.view.host.name not in doing[state]:
            return dict(_NOTHING)
        arguments |= {"stack": self.declared.stack.name, "id": this_run().record, "run": self.lock_holder()}
        arguments["version"] = parts.postgres.version
        arguments |= member(self.declared.stack, self.view) if self.view.runs("postgres") else {}
        variable = arguments.pop("seen", None)
        if variable:
            arguments["plan"] = self._plan(parts.backup.hosts[0], str(variable), task_vars)
        if state == "restored" and not self._task.check_mode:
            return self._restored(arguments, task_vars)
        return self.module(arguments, task_vars)

    def _restored(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Result:
        self.checked({**arguments, "state": "begun"}, task_vars)
        killed = SlipwayError(
            "the restore was killed",
            "What serves is untouched; run this again, what it left is removed first",
        )
        steps, last = self.follow({**arguments, "state": "followed"}, task_vars, killed)
        return {"changed": True, "steps": steps, **last["done"]}

    def _plan(self, host: str, variable: str, task_vars: Mapping[str, Any]) -> Any:
        told: Any = native(task_vars["hostvars"][host].get(variable) or {})
        if "plan" not in told:
            raise SlipwayError(
                f"{variable} holds no plan on {host}", "Name the variable that state planned registered"
            )
        return told["plan"]
