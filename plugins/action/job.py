"""Run a job of a release, and put what it said into the release's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import moment, note_step


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        title, begun = arguments.pop("title", f"run job {arguments['job']}"), moment()
        arguments["stack"] = self.declared.stack.name
        arguments["run"] = self.lock_holder()
        result = self.module(arguments, task_vars)
        note_step(
            {
                "name": title,
                "host": self.view.host.name,
                "begun": begun,
                "ended": moment(),
                "verdict": "fail" if result.get("failed") else "done",
                "detail": result.get("msg") or result.get("output", ""),
            }
        )
        return result
