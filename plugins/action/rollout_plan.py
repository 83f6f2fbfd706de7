"""Plan rollouts from what every host has reported; ask no host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any

from ..module_utils._core.gate import error_budget
from ..module_utils._core.refusals import NotPreparedError, Refusal, by_reason, told_apart
from ..module_utils._core.release.fleet import Seen, elsewhere
from ..module_utils._core.release.fleet_moves import plan_forward
from ..module_utils._core.release.homeward import returns
from ..module_utils._core.release.jobs import job_lines, job_moves
from ..module_utils._core.release.room import Room, peak, shortfall
from ..module_utils._core.release.stage_moves import Move
from ..module_utils._core.release.way_back import plan_back
from ..module_utils._core.stack.model import AFTER_RELEASE, BEFORE_TRAFFIC
from ..plugin_utils.stack_action import Result, StackAction


class ActionModule(StackAction):
    """Runs on the control node only: the hosts were asked before."""

    _requires_connection = False

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        found: dict[str, dict[str, Seen]] = {}
        jobs: dict[str, Any] = {}
        release = ""
        hosts = {
            host: task_vars["hostvars"][host].get(arguments["prepared"]) or {} for host in self.topology.views
        }
        for host, prepared in hosts.items():
            release = prepared.get("release", release)
            jobs[host] = prepared.get("jobs", [])
            for service, seen in prepared.get("services", {}).items():
                found.setdefault(service, {})[host] = Seen(**seen)
        services = [service for name, service in self.declared.stack.services.items() if name in found]
        if arguments.get("back"):
            moves = plan_back(services, found)
            return {"changed": False, "moves": [asdict(move) for move in moves], "closing": [], "plan": []}
        others = {name: elsewhere(name, hosts.values()) for name in found}
        plan = plan_forward(services, found, release, others)
        first, last = job_moves(jobs, BEFORE_TRAFFIC), job_moves(jobs, AFTER_RELEASE)
        lines = [*job_lines(first), *plan.lines, *job_lines(last)]
        for line in lines:
            self._display.display(line)
        rolled = {it.service.name for it in plan.changes}
        self._refuse(hosts, found, [*plan.moves, *plan.closing], rolled)
        return {
            "changed": False,
            "moves": [asdict(move) for move in [*first, *plan.moves]],
            "closing": [asdict(move) for move in plan.closing],
            "after": [asdict(move) for move in last],
            "plan": lines,
            "edges_to_come": [name for name, told in hosts.items() if "edge" in told.get("starting", [])],
            "judge": self.topology.members("prometheus")[0].name,
            "home": {
                it.service.name: {
                    "old": it.old,
                    "new": it.new,
                    "live": it.old,
                    "replicas": it.old_replicas,
                    "veterans": list(it.veterans),
                }
                for it in plan.changes
                if it.before
            },
            "warm": {} if first else returns(plan.changes),
            "services": {
                it.service.name: {
                    "strategy": it.service.strategy.name,
                    "plan": [line for line in plan.lines if line.startswith(f"{it.service.name}: ")],
                }
                for it in plan.changes
            },
        }

    def _refuse(
        self,
        hosts: Mapping[str, Mapping[str, Any]],
        found: Mapping[str, Mapping[str, Seen]],
        moves: Sequence[Move],
        rolled: Set[str],
    ) -> None:
        """Everything that stands in the way, of all hosts together."""
        limits = {name: service.resources.memory for name, service in self.declared.stack.services.items()}
        refused: dict[str, list[Refusal]] = {}
        for host, prepared in hosts.items():
            refused[host] = [Refusal(**refusal) for refusal in prepared.get("refused", [])]
            refused[host] += error_budget.refusals(prepared.get("spent", []), rolled)
            seen = {name: there[host] for name, there in found.items() if host in there}
            if "room" in prepared:
                room = Room(**prepared["room"])
                short = shortfall(peak(moves, host, seen, room, limits), room)
                refused[host] += [short] if short else []
        changing = {name for prepared in hosts.values() for name in prepared.get("changing", [])}
        stands, warns = told_apart(refused, changing)
        for reason, names in by_reason(warns).items():
            self._display.warning(f"{', '.join(names)}: {reason} This release changes it, so it goes on.")
        if stands:
            raise NotPreparedError(stands)
