"""Tell the prober which replicas to ask what, where the edge is, and the secret that opens it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.gate import edge_probe_plan
from ..plugin_utils.stack_action import Result, StackAction, material
from ..plugin_utils.this_run import moment, note_step


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        title, begun = arguments.pop("title", "probe"), moment()
        arguments["stack"] = self.declared.stack.name
        arguments["edges"] = edge_probe_plan.edges(self.topology, arguments.pop("edges_to_come", []))
        arguments["subjects"] = edge_probe_plan.probed(
            self.topology,
            arguments.get("services") or {},
            arguments.get("hosts") or (),
            stored=bool(arguments.get("stored")),
        )
        arguments["secret"] = material(self.declared, {}).secrets.get("edge_probe", "")
        arguments["run"] = self.lock_holder()
        result = self.module(arguments, task_vars)
        note_step(
            {
                "name": title,
                "begun": begun,
                "ended": moment(),
                "verdict": result.get("verdict", "fail"),
                "detail": "; ".join([*result.get("faults", []), *result.get("lines", [])]),
            }
        )
        return result
