"""Tell the module whose host it is on, and judge on the control node what both sites told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.postgresql.sites import Seen, may_take_over, rests
from ..plugin_utils.postgres_member import NOT_A_MEMBER
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack = self.declared.stack
        settings = stack.components.postgres
        if not settings or not settings.other_site:
            raise SlipwayError(
                f"{self.declared.environment} has no second site",
                "Declare stack/components/postgres/other_site: docs/runbooks/second-site.md",
            )
        other = settings.other_site
        state = arguments.get("state", "seen")
        if state == "judged":
            own, theirs = _seen(arguments["own"]), _seen(arguments.get("other") or [])
            resting = rests(own, follow=other.follow)
            if "planned" in arguments:
                planned, lost = bool(arguments["planned"]), bool(arguments["lost"])
                may_take_over(own, theirs, other.environment, planned=planned, lost=lost)
            newest = max((one.promoted for one in (*own, *theirs)), default=0)
            return {"changed": False, "site": {"rests": resting, "newest": newest}}
        of_other = arguments.get("of") == "other"
        if not of_other and not self.view.runs("postgres"):
            return dict(NOT_A_MEMBER)
        # Whoever is told to follow is told of those on the other side.
        members = [host.address for host in self.topology.members("postgres")] if of_other else other.members
        own = {
            "container": f"{stack.name}-postgres-1",
            "stack": stack.name,
            "version": settings.version,
            "members": list(members),
            "run": self.lock_holder(),
        }
        asked = str(arguments.pop("host", "") or self.view.host.name)
        return {"host": asked, **self.module({**own, **arguments}, task_vars)}


def _seen(told: Sequence[Mapping[str, Any]]) -> list[Seen]:
    """Of the results of hosts, those that hold an answer."""
    return [Seen.parse(str(one.get("host", "")), one["site"]) for one in told if one.get("site")]
