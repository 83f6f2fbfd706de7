"""Tell the module which rows the stack keeps how long; only hosts with a PostgreSQL member are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.data_care.retention_work import Rule
from ..module_utils._core.errors import SlipwayError
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack = self.declared.stack
        rules = [
            Rule(name, rule.table, rule.column, rule.keep, rule.cascades).to_dict()
            for name, care in stack.data.databases.items()
            for rule in care.retention
        ]
        if not rules:
            raise SlipwayError(
                f"the stack {stack.name} has no rows that are deleted when they are old",
                "Declare stack/data/databases/<name>/retention: docs/data-care.md",
            )
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        own = {"stack": stack.name, "rules": rules, **member(stack, self.view)}
        return self.module({**arguments, **own}, task_vars)
