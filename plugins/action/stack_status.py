"""Print one table of the environment from what `health` found on each host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.checks.status import Seen, table
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    """Runs on the control node only: the hosts were asked before."""

    _requires_connection = False

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        seen = {}
        for name in self.topology.views:
            found = task_vars["hostvars"][name].get(arguments["health"]) or {}
            link = task_vars["hostvars"][name].get(arguments["current"]) or {}
            if "checks" in found:
                target = (link.get("stat") or {}).get("lnk_target") or "none"
                seen[name] = Seen(target.rpartition("/")[2], found["checks"])
        lines = table(self.topology, seen)
        for line in lines:
            self._display.display(line)
        return {"changed": False, "table": lines}
