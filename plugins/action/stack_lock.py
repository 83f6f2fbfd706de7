"""Take part in a run's contest for the lock: this host's next move follows from what all hosts told last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.locking.lock import SILENCE, Seen
from ..module_utils._core.locking.lock_protocol import Contest, Report
from ..plugin_utils.lock_contest import Hands, first_round, next_round
from ..plugin_utils.native import native
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import ThisRun, has_ended, this_run


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        arguments["stack"] = self.declared.stack.name
        state = arguments.get("state", "held")
        if state in ("shown", "broken"):
            return self.module(arguments, task_vars)
        if self._task.check_mode:
            return {"skipped": True, "skip_reason": "a dry run takes no lock"}
        run = this_run()
        if state == "released":
            return self.module({**arguments, "run": run.id}, task_vars)
        seen = arguments.pop("seen", None)
        hands = self._hands(run, {**arguments, "claim": _claim(run, arguments)}, task_vars)
        host = self.view.host.name
        if seen:
            report = next_round(_contest(run, list(self.topology.views), seen, task_vars), host, hands)
        else:
            first = next(name for name in self.topology.views if name in task_vars["ansible_play_hosts"])
            report = first_round(run.id, host, first, hands)
        return _result(report, run)

    def _hands(self, run: ThisRun, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Hands:
        def call(**changes: Any) -> Result:
            told = self.module({**arguments, **changes}, task_vars)
            if "problem" in told:
                raise SlipwayError(told["problem"], told["remedy"])
            if told.get("failed"):
                raise AnsibleActionFail(told.get("msg", "the module failed"), result=told)
            return told

        def ask(take: bool, over: Mapping[str, int]) -> Seen | None:
            lock = call(take=take, over=dict(over))["lock"]
            return Seen.from_dict(lock) if lock else None

        def give_back() -> Result:
            return call(state="released", run=run.id)

        return Hands(ask, give_back, self._display.display, attempt=str(self._task._uuid))


def _claim(run: ThisRun, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": run.id,
        "owner": run.owner,
        "control": run.control,
        "pid": run.pid,
        "process": run.process,
        "begun": run.begun,
        "what": arguments.get("what", "deploy"),
        "release": arguments.get("release", ""),
        "silence": arguments.get("silence", SILENCE),
    }


def _contest(run: ThisRun, hosts: list[str], variable: str, task_vars: Mapping[str, Any]) -> Contest:
    reports = []
    for host in (name for name in hosts if name in task_vars["ansible_play_hosts"]):
        told: Any = native(task_vars["hostvars"][host].get(variable) or {})
        if "lock" not in told:
            raise SlipwayError(
                f"{variable} holds no answer of stack_lock on {host}",
                "Name the variable that the round before registered",
            )
        holder = Seen.from_dict(told["lock"]) if told["lock"] else None
        reports.append(Report(host, holder, told["moved"], told["round"]))
    return Contest(run.id, reports, lambda claim: has_ended(claim.pid, claim.process))


def _result(report: Report, run: ThisRun) -> Result:
    lock = report.holder.to_dict() if report.holder else {}
    held = report.is_held_by(run.id)
    return {
        "changed": False,
        "held": held,
        **({"turn": lock["turn"]} if held else {}),
        "lock": lock,
        "moved": report.moved,
        "round": report.round,
        "run": run.id,
    }
