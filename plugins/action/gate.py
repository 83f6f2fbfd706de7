"""Tell the gate what each service must keep to, and where routers and Prometheus are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.gate import edge_probe_plan, gate_plan
from ..module_utils._core.release import handover
from ..plugin_utils.stack_action import Result, StackAction, material
from ..plugin_utils.this_run import moment, note_step


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        arguments["stack"] = self.declared.stack.name
        moving, hosts = arguments.get("services") or {}, arguments.get("hosts") or ()
        arguments["edges"] = edge_probe_plan.edges(self.topology, arguments.pop("edges_to_come", []))
        arguments["subjects"] = edge_probe_plan.probed(
            self.topology, moving, hosts, stored=bool(arguments.get("stored"))
        )
        arguments["secret"] = material(self.declared, {}).secrets.get("edge_probe", "")
        arguments["services"] = gate_plan.watched(self.topology, moving, hosts)
        arguments["routers"] = handover.routers(self.topology)
        arguments["prometheus"] = gate_plan.prometheus(self.topology)
        arguments["run"] = self.lock_holder()
        title, begun = arguments.pop("title", "judge"), moment()
        result = self.module(arguments, task_vars)
        told = {
            "name": title,
            "begun": begun,
            "ended": moment(),
            "detail": "; ".join(result.get("lines", [])),
        }
        note_step({**told, "verdict": result.get("verdict", "fail")})
        return result
