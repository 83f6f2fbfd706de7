"""Ask a host what the serving release says of data, and judge on the control node what all have told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_bool, check_type_list

from ..module_utils._core.stack.data_placement import judge, kept, left, remarks
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack = self.declared.stack
        if arguments.get("state", "seen") == "seen":
            return self.module({"stack": stack.name}, task_vars)
        wanted = kept(stack)
        told = [one["placement"] for one in arguments["found"] if "placement" in one]
        moving = left(wanted, told, [host.name for host in stack.hosts])
        consent = [str(name).strip() for name in check_type_list(arguments.get("consent", []))]
        refuses = check_type_bool(arguments.get("refuses", True))
        said = judge(moving, consent, list(wanted)) if refuses else remarks(moving)
        return {"changed": False, "warnings": said}
