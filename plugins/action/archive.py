"""Say which host archives, lists or restores, and ask for consent before any is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.archive import archive_layout
from ..module_utils._core.errors import SlipwayError
from ..plugin_utils.stack_action import Result, StackAction

_NOTHING = {"skipped": True, "skip_reason": "another host does this"}


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack, state = self.declared.stack, arguments["state"]
        backup = stack.components.backup
        if not backup or not backup.archive:
            raise SlipwayError(
                f"the stack {stack.name} keeps no archive",
                "Declare stack/components/backup/archive and deploy: docs/runbooks/backups.md",
            )
        hosts: tuple[str, ...] = tuple(self.topology.views)
        if state in ("copied", "listed", "refilled"):
            hosts = backup.hosts
        if state == "copied" and not backup.second:
            return {"skipped": True, "skip_reason": "there is no second place"}
        if not backup.second and (state == "refilled" or int(arguments.get("repository") or 1) != 1):
            raise SlipwayError(
                f"the stack {stack.name} has no second place",
                "Declare stack/components/backup/second and deploy: docs/runbooks/backups.md",
            )
        if state == "restored":
            self._consent(arguments)
            hosts = archive_layout.restoring(
                stack, str(arguments.get("what", "")), str(arguments.get("on", ""))
            )
        if self.view.host.name not in hosts:
            return dict(_NOTHING)
        return self.module({**arguments, "stack": stack.name}, task_vars)

    def _consent(self, arguments: Mapping[str, Any]) -> None:
        name = self.declared.stack.name
        if arguments.get("confirm") != name:
            raise SlipwayError(
                f"{arguments.get('what')} would be brought back over what is there",
                f"If that is meant, say so: -e confirm={name}",
            )
