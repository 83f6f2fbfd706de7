"""Choose the host that gives Patroni its orders, and tell it where all members are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.wording import listed
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction

_NOTHING = {"skipped": True, "skip_reason": "another host does this"}


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        settings = self.declared.stack.components.postgres
        if not settings:
            raise SlipwayError(
                f"the stack {self.declared.stack.name} has no PostgreSQL", "Declare it and deploy"
            )
        state = arguments["state"]
        if not self.view.runs("postgres"):
            return dict(NOT_A_MEMBER)
        reached = [name for name in settings.hosts if name in task_vars["ansible_play_hosts"]]
        chosen = acting(reached, state, arguments.get("host") or "", arguments.pop("on", "") or "")
        if state != "writable" and self.view.host.name != chosen:
            return dict(_NOTHING)
        stack, views = self.declared.stack, self.topology.views
        return self.module(
            {
                **arguments,
                **member(stack, self.view),
                "stack": stack.name,
                "members": {name: member(stack, views[name])["patroni"] for name in settings.hosts},
                "lag": settings.max_replica_lag,
                "run": self.lock_holder(),
            },
            task_vars,
        )


def acting(reached: Sequence[str], state: str, host: str, on: str) -> str:
    """Who gives the orders: a host that is reached, and best one whose member runs: its `patronictl` is used.

    Whoever is to lead must be well; whoever is to be cloned need not be.
    """
    if on:
        if on not in reached:
            raise SlipwayError(f"{on} has no PostgreSQL or is not reached", f"Name one of {listed(reached)}")
        return on
    if state in ("switched", "failed_over") and host in reached:
        return host
    others = [name for name in reached if name != host]
    return (others or list(reached))[0]
