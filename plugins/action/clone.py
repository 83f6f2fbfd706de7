"""Say which host does which step of a copy, show its progress, and carry the dumps over the control node."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..module_utils._core.data_care.masking import PUBLIC
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.wording import did_you_mean, listed
from ..plugin_utils.job_action import JobAction
from ..plugin_utils.native import native
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result
from ..plugin_utils.this_run import shared

_NOTHING = {"skipped": True, "skip_reason": "another host does this"}
# Environments that nobody may overwrite by a slip, unless they say that it may be done.
_SERVES = re.compile(r"(^|[^a-z])(prod|production|live)([^a-z]|$)")


class ActionModule(JobAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack, state = self.declared.stack, arguments["state"]
        if state == "permitted":
            return self._permitted()
        arguments |= {"stack": stack.name}
        if state == "masked":
            return self._on_backup_host(arguments, task_vars)
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        arguments |= member(stack, self.view)
        if state == "planned":
            return self.module({**arguments, "rules": self._rules(arguments)}, task_vars)
        arguments |= {"run": self.lock_holder(), "copies": self._copies(arguments, task_vars)}
        if state == "restored" and not self._task.check_mode:
            return self._restored(arguments, task_vars)
        return self.module(arguments, task_vars)

    def _permitted(self) -> Result:
        name, data = self.declared.environment, self.declared.stack.data
        postgres = self.declared.stack.components.postgres
        # Either of two sites may be the one that serves.
        likely = bool(_SERVES.search(name)) or bool(postgres and postgres.other_site)
        serves = likely if data.protected is None else data.protected
        if serves:
            raise SlipwayError(
                f"{name} is protected: no copy may replace its databases",
                "If it is meant to be a target, declare stack/data/protected: false there",
            )
        if not self.declared.stack.components.postgres:
            raise SlipwayError(f"{name} has no PostgreSQL", "Let its stack have postgres, and deploy")
        return {"changed": False}

    def _rules(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        stack = self.declared.stack
        known = sorted({service.database for service in stack.services.values() if service.database})
        wanted = [it for it in str(arguments.get("databases") or "").replace(" ", "").split(",") if it]
        for name in wanted:
            if name not in known:
                raise SlipwayError(
                    f"{name} is no database of {self.declared.environment}",
                    f"{did_you_mean(name, known)}Databases: {listed(known)}",
                )
        cares = stack.data.databases
        return {name: dict(cares[name].masking) if name in cares else {} for name in wanted or known}

    def _on_backup_host(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        backup = self.declared.stack.components.backup
        if not backup:
            raise SlipwayError(
                f"the stack {self.declared.stack.name} has no backups, of which copies are made",
                "Declare stack/components/backup in the source and deploy: docs/runbooks/backups.md",
            )
        if self.view.host.name != backup.hosts[0]:
            return dict(_NOTHING)
        if self._task.check_mode:
            return self.module(arguments, task_vars)
        cares = self.declared.stack.data.databases
        public = [name for name, care in cares.items() if care.schema == PUBLIC]
        self.checked({**arguments, "rules": self._rules(arguments), "public": public}, task_vars)
        killed = SlipwayError("the copy was killed", "Run this again; what it left is removed first")
        steps, last = self.follow({**arguments, "step": "followed"}, task_vars, killed)
        for copy in last["done"]:
            local = _local(copy["database"])
            # Nobody else on the control node reads it, from its first byte on.
            os.close(os.open(local, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
            self._connection.fetch_file(copy["path"], str(local))
            local.chmod(0o600)
        self.checked({**arguments, "step": "removed"}, task_vars)
        return {"changed": True, "steps": steps, "copies": last["done"]}

    def _copies(self, arguments: Any, task_vars: Mapping[str, Any]) -> list[dict[str, Any]]:
        variable = str(arguments.pop("seen", ""))
        if self._task.check_mode:
            return []
        for name in task_vars["hostvars"]:
            told: Any = native(task_vars["hostvars"][name].get(variable) or {})
            if told.get("copies"):
                return list(told["copies"])
        raise SlipwayError(
            "no dumps have come from the source", "See above why, and run this for both environments"
        )

    def _restored(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        """Only the leader gets the dumps; they are gone from it when this ends."""
        if not self.checked({**arguments, "step": "asked"}, task_vars)["leader"]:
            return {"changed": False, "steps": []}
        folder = str(self._connection._shell.tmpdir or self._make_tmp_path())
        try:
            for copy in arguments["copies"]:
                copy["path"] = f"{folder}/{copy['database']}.dump"
                self._connection.put_file(str(_local(copy["database"])), copy["path"])
            return self.module(arguments, task_vars)
        finally:
            self._remove_tmp_path(folder, force=True)
            for copy in arguments["copies"]:
                _local(copy["database"]).unlink(missing_ok=True)


def _local(database: str) -> Path:
    """In Ansible's own folder of this run, which goes with it."""
    return shared() / f"clone-{database}.dump"
