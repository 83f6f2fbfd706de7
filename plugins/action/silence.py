# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell the module where Alertmanagers are, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.stack.topology import PORTS
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import this_run


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        run = this_run()
        members = self.topology.members("alertmanager")
        told = {
            "owner": f"{run.owner}@{run.control}",
            "alertmanagers": [{"host": it.address, "port": PORTS["alertmanager"]} for it in members],
        }
        return self.module({**told, **arguments}, task_vars)
