"""Tell a host what one step of a rollout means for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ..module_utils._core.release import handover, homeward
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import done_by_another, first_to, moment, note_step

# Seconds a host looks at its workers before it asks whether another one has seen one of them fall.
SLICE = 5.0
FALL = "fall"


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        title, begun = arguments.pop("title", arguments["kind"]), moment()
        arguments["stack"] = self.declared.stack.name
        arguments["run"] = self.lock_holder()
        arguments["routers"] = handover.routers(self.topology)
        arguments["own_routers"] = handover.own_routers(self.view)
        arguments["replicas"] = handover.replicas(self.topology, self.view)
        arguments["targets"] = handover.targets(self.topology, self.view)
        if arguments["kind"] == "home":
            arguments["homes"] = homeward.homes(self.topology, arguments["services"])
            arguments["lost_routers"] = [
                address
                for host in arguments.pop("lost", [])
                for address in handover.own_routers(self.topology.views[host]).values()
            ]
        if arguments["kind"] == "traffic":
            arguments["weights"] = {
                replica.server: weights[replica.pool]
                for name, weights in arguments["services"].items()
                for replica in self.topology.replicas_of(name)
                if replica.pool in weights
            }
        stay = arguments["kind"] == "stay"
        result = self._stay(arguments, task_vars) if stay else self.module(arguments, task_vars)
        if result.get("steps") or result.get("failed"):
            note_step(
                {
                    "name": title,
                    "host": self.view.host.name,
                    "begun": begun,
                    "ended": moment(),
                    "verdict": "fail" if result.get("failed") else "done",
                    "detail": result.get("msg") or "; ".join(result["steps"]),
                }
            )
        return result

    def _stay(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        """In slices: where one host has seen a worker fall, the others need not look on."""
        until = time.monotonic() + float(arguments.get("seconds", 0))
        while True:
            left = max(until - time.monotonic(), 0.0)
            try:
                result = self.module({**arguments, "seconds": min(left, SLICE)}, task_vars)
            except AnsibleConnectionFailure:
                first_to(FALL)
                raise
            if result.get("failed"):
                first_to(FALL)
            if result.get("failed") or time.monotonic() >= until or done_by_another(FALL):
                return result
