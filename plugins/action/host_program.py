"""Send a host one of its programs: the role's main file, and what that imports of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.wording import listed
from ..plugin_utils.host_programs import programs, sources
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        name = arguments.get("name")
        if name not in programs():
            raise SlipwayError(
                f"host_program: there is no program {name}", f"Name one of {listed(programs())}"
            )
        files = {path: source.read_text(encoding="utf-8") for path, source in sources(name).items()}
        return self.module({"name": name, "files": files}, task_vars)
