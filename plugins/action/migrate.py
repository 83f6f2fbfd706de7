"""Run each service's migrations from the prepared release, on the host whose member leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.model import Service
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    """Without a `database` of its own, a task migrates every service of the stack that has migrations."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        release = arguments.pop("release", "")
        holder = {"stack": self.declared.stack.name, "run": self.lock_holder()}
        own = {**member(self.declared.stack, self.view), **holder, **arguments}
        if "database" in arguments:
            return self.module(own, task_vars)
        results = []
        for service in self.declared.stack.services.values():
            if service.migrations and service.database:
                target = {"database": service.database, "directory": self._directory(service, release)}
                results.append(self.module({**own, **target}, task_vars))
                if results[-1].get("failed"):
                    return results[-1]
        steps = [step for result in results for step in result.get("steps", [])]
        return {
            "changed": any(result.get("changed", False) for result in results),
            "steps": steps,
            "diff": {"before": "", "after": "".join(f"{step}\n" for step in steps)},
        }

    def _directory(self, service: Service, release: str) -> str:
        """Where the files are on the host; a dry run, which has stored no release, brings them along."""
        if self._task.check_mode:
            folder = str(self._make_tmp_path())
            for path in sorted((self.declared.checkout / str(service.migrations)).glob("*.sql")):
                self._transfer_data(f"{folder}/{path.name}", path.read_text(encoding="utf-8"))
            return folder
        stored = f"releases/{release}" if release else "current"
        return f"/opt/{self.declared.stack.name}/{stored}/migrations/{service.name}"
