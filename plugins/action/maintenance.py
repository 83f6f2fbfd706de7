"""Tell the module what stands on this host, and who must not notice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.checks.health_plan import probes_for
from ..module_utils._core.release import handover
from ..module_utils._core.routing.maintenance import require_possible
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import moment, this_run


class ActionModule(StackAction):
    """A host that cannot be spared is refused here, before any host is contacted."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        if arguments["state"] in ("possible", "out"):
            require_possible(self.topology, arguments["host"])
        if arguments["state"] == "possible":
            return {"changed": False, "steps": []}
        run = this_run()
        roles = [it for it in probes_for(self.topology, self.view) if it.kind in ("postgres", "redis")]
        return self.module(
            {
                **arguments,
                "stack": self.declared.stack.name,
                "own": self.view.host.name == arguments["host"],
                "edge": self.view.runs("edge"),
                "roles": [probe.to_dict() for probe in roles],
                "replicas": handover.replicas(self.topology, self.view),
                "routers": handover.routers(self.topology),
                "own_routers": handover.own_routers(self.view),
                "by": f"{run.owner}@{run.control}",
                "since": moment(),
                "run": self.lock_holder(),
            },
            task_vars,
        )
