"""Derive the questions for this host from the stack, unless the task brings its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.checks.health_plan import probes_for
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if "probes" not in arguments:
            arguments["stack"] = self.declared.stack.name
            arguments["probes"] = [probe.to_dict() for probe in probes_for(self.topology, self.view)]
        return self.module({"host": self.view.host.name, **arguments}, task_vars)
