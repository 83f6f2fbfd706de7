"""Tell a host what one step of a rollout means for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core import handover
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        arguments["stack"] = self.declared.stack.name
        arguments["routers"] = handover.routers(self.topology)
        arguments["own_routers"] = handover.own_routers(self.view)
        arguments["replicas"] = handover.replicas(self.topology, self.view)
        arguments["targets"] = handover.targets(self.topology, self.view)
        if arguments["kind"] == "traffic":
            arguments["weights"] = {
                replica.server: weights[replica.pool]
                for name, weights in arguments["services"].items()
                for replica in self.topology.replicas_of(name)
                if replica.pool in weights
            }
        return self.module(arguments, task_vars)
