"""Follow a backup or a proof to its end and show how far it is; carry proofs to PostgreSQL's leader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..plugin_utils.job_action import JobAction
from ..plugin_utils.native import native
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result

KEEPS_NONE = {"skipped": True, "skip_reason": "this host keeps no backups"}
_WHAT = {"taken": "backup", "verified": "verification"}


class ActionModule(JobAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        backup, state = self.declared.stack.components.backup, arguments["state"]
        arguments["stack"] = self.declared.stack.name
        if not backup:
            if state == "ready":
                return dict(KEEPS_NONE)
            raise SlipwayError(
                f"the stack {self.declared.stack.name} has no backups",
                "Declare stack/components/backup and deploy: docs/runbooks/backups.md",
            )
        if state == "recorded":
            return self._record(arguments, task_vars)
        if self.view.host.name not in backup.hosts:
            return dict(KEEPS_NONE)
        if state not in _WHAT or self._task.check_mode:
            return self.module(arguments, task_vars)
        self.checked({**arguments, "state": "begun", "what": _WHAT[state]}, task_vars)
        return self._follow(state, arguments["stack"], task_vars)

    def _follow(self, state: str, stack: str, task_vars: Mapping[str, Any]) -> Result:
        killed = SlipwayError(
            f"the {_WHAT[state]} was killed", "See `journalctl` and `docker logs` on the backup host"
        )
        steps, last = self.follow({"state": "followed", "stack": stack}, task_vars, killed)
        found = {"verification": last["done"], "verifications": last["all"]} if "all" in last else {}
        return {"changed": state == "taken", "steps": steps, **found}

    def _record(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        variable = str(arguments.pop("seen"))
        proofs: list[Any] = []
        for name in self.topology.views:
            told: Any = native(task_vars["hostvars"][name].get(variable) or {})
            proofs += told.get("verifications") or []
        place = member(self.declared.stack, self.view)
        return self.module({**arguments, **place, "verifications": proofs}, task_vars)
