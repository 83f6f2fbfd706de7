"""Run each service's migrations from the prepared release, on the host whose member leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    """Without a `database` of its own, a task migrates every service of the stack that has migrations."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        release = arguments.pop("release", "")
        own = {**member(self.declared.stack, self.view), **arguments}
        if "database" in arguments:
            return self.module(own, task_vars)
        folder = (
            f"/opt/{self.declared.stack.name}/{f'releases/{release}' if release else 'current'}/migrations"
        )
        results = []
        for service in self.declared.stack.services.values():
            if service.migrations and service.database:
                target = {"database": service.database, "directory": f"{folder}/{service.name}"}
                results.append(self.module({**own, **target}, task_vars))
                if results[-1].get("failed"):
                    return results[-1]
        steps = [step for result in results for step in result.get("steps", [])]
        return {
            "changed": any(result.get("changed", False) for result in results),
            "steps": steps,
            "diff": {"before": "", "after": "".join(f"{step}\n" for step in steps)},
        }
