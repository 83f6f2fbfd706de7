"""Tell the module which replicas this host has and which routers send them traffic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.errors import InvalidInputError, Problem
from ..module_utils._core.release import handover
from ..module_utils._core.wording import did_you_mean, listed
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        known = list(self.declared.stack.services)
        unknown = [name for name in arguments.get("services") or [] if name not in known]
        if unknown:
            raise InvalidInputError(
                [
                    Problem(
                        f"services/{name}",
                        "no such service",
                        f"{did_you_mean(name, known)}The stack has {listed(known)}",
                    )
                    for name in unknown
                ]
            )
        arguments["stack"] = self.declared.stack.name
        arguments["run"] = self.lock_holder()
        arguments["routers"] = handover.routers(self.topology)
        arguments["replicas"] = handover.replicas(self.topology, self.view)
        return self.module(arguments, task_vars)
