"""Tell the module what services promise, and print how they keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..module_utils._core.gate import gate_plan
from ..module_utils._core.monitoring.slo import objectives
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        promised = objectives(self.declared.stack.services)
        result: Result = {"changed": False, "objectives": [], "table": []}
        if self.view.host != self.topology.members("prometheus")[0]:
            return result
        if promised:
            arguments["objectives"] = [asdict(it) for it in promised]
            arguments["prometheus"] = gate_plan.prometheus(self.topology)
            result = self.module(arguments, task_vars)
        else:
            result["table"] = ["No service promises anything yet: stack/services/<name>/slo, docs/slo.md"]
        for line in result.get("table", []):
            self._display.display(line)
        return result
