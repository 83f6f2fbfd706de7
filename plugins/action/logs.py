"""Refuse names that mean nothing, ask the log store where there is one, show lines in the order of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.images.image_catalog import REGISTRY
from ..module_utils._core.logs.log_lines import newest, since_from
from ..module_utils._core.logs.log_store import Search
from ..module_utils._core.stack.components import COMPONENTS
from ..module_utils._core.wording import did_you_mean, listed
from ..plugin_utils.native import native
from ..plugin_utils.stack_action import Result, StackAction

REPLICA = re.compile(r"-(blue|green)-\d+$")
# What only a store can be asked for.
STORED = ("before", "request", "release", "host", "audit")


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if arguments.get("state", "read") == "shown":
            return self._show(arguments, task_vars)
        arguments = {"store": True, "component": "", **arguments, "stack": self.declared.stack.name}
        members = self.topology.members("logs-proxy")
        if members and _true(arguments["store"]):
            search = Search.from_dict(_typed(arguments))
            search.check()
            if self.view.host != members[0]:
                return {"changed": False, "said": []}
            result = self.module({**arguments, "address": members[0].address}, task_vars)
            if not result.get("failed") and not result.get("said"):
                # Services of the hosts have lines there, too: what is unknown here may still be one of them.
                self._require_known(search.component or REGISTRY)
            return result
        return self._read(arguments, task_vars)

    def _read(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        """What this host has kept of what its own containers said."""
        asked = [name for name in STORED if arguments.get(name) and _true(arguments[name])]
        if asked:
            raise SlipwayError(
                f"{listed(asked)} can only be asked of a log store",
                "Declare stack/components/logs and deploy, or ask without it",
            )
        self._require_known(str(arguments["component"]))
        since_from(str(arguments.get("since") or ""), "")  # before any host is asked
        result = self.module(arguments, task_vars)
        host = self.view.host.name
        # Two hosts may say something at the same moment: the time stays in front.
        said = [
            f"{line.partition(' ')[0]} {host} {name} {line.partition(' ')[2]}"
            for name, lines in result.pop("told", {}).items()
            for line in lines
        ]
        return {**result, "said": newest(said, int(arguments.get("lines") or 50))}

    def _show(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        told = (task_vars["hostvars"][name].get(arguments["seen"]) or {} for name in self.topology.views)
        found: Any = native([line for one in told for line in one.get("said", [])])
        said = newest(found, int(arguments.get("lines") or 50))
        for line in said or ["nothing was said"]:
            self._display.display(line)
        return {"changed": False, "said": said}

    def _require_known(self, name: str) -> None:
        known = [*COMPONENTS, REGISTRY, *self.declared.stack.services, *self.declared.stack.jobs]
        if REPLICA.sub("", name) not in known:
            raise SlipwayError(
                f"component is {name!r}, which nothing here is called",
                f"{did_you_mean(name, known)}There are {listed(known)}",
            )


def _typed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the command line gave them, in the types of a search."""
    given = {key: str(value) for key, value in arguments.items() if key in Search.__dataclass_fields__}
    return {**given, "lines": int(given.get("lines") or 50), "audit": _true(given.get("audit", ""))}


def _true(value: Any) -> bool:
    return str(value).lower() not in ("", "no", "false", "0", "off")
