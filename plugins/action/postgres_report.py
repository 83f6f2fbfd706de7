"""Tell the module where this host's PostgreSQL member is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if not self.view.runs("postgres"):
            return dict(NOT_A_MEMBER)
        return self.module({**member(self.declared.stack, self.view), **arguments}, task_vars)
