"""Run or judge each service's migrations, on the host whose member leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.stack.model_service import Service
from ..plugin_utils.migration_files import faults
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import moment, note_step, this_run


class ActionModule(StackAction):
    """Without a `database` of its own, a task is for every service of the stack that has migrations."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack, state = self.declared.stack, arguments.get("state", "applied")
        release, phase = arguments.pop("release", ""), arguments.get("phase")
        services = [it for it in stack.services.values() if it.migrations and it.database]
        if "database" not in arguments and not services:
            return {"skipped": True, "skip_reason": "no service has migrations", "judged": True}
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        own = {
            **member(stack, self.view),
            "stack": stack.name,
            "run": self.lock_holder(),
            "serving": f"/opt/{stack.name}/current/migrations",
            **arguments,
        }
        if "database" in arguments:
            return self.module(self._marked(own, phase), task_vars)
        if phase == "contract":
            services = [it for it in services if it.contract == "after_watch"]
        asked = [(it, {**own, **self._files(it, release, state)}) for it in services]
        if state == "applied":
            return self._apply(asked, phase, task_vars)
        told = {service.name: self.module(request, task_vars) for service, request in asked}
        return self._permitted(told, release) if state == "permitted" else self._planned(told)

    def _apply(
        self, asked: list[tuple[Service, dict[str, Any]]], phase: str | None, task_vars: Mapping[str, Any]
    ) -> Result:
        steps: list[str] = []
        changed, marked = False, False
        for service, request in asked:
            begun = moment()
            # The first that has something to run sets the restore point for all.
            result = self.module(request if marked else self._marked(request, phase), task_vars)
            marked = marked or bool(result.get("restore_point"))
            self._note(service, begun, result)
            if result.get("failed"):
                if phase == "contract":
                    result["msg"] += " The new release serves all the same."
                return result
            changed = changed or result.get("changed", False)
            steps += result.get("steps", [])
        return {
            "changed": changed,
            "steps": steps,
            "diff": {"before": "", "after": "".join(f"{step}\n" for step in steps)},
        }

    def _marked(self, request: dict[str, Any], phase: str | None) -> dict[str, Any]:
        name = f"slipway-{this_run().record}{'-contract' if phase == 'contract' else ''}"
        return {"restore_point": name, **request}

    def _note(self, service: Service, begun: str, result: Result) -> None:
        """For the release's record: the restore point, and what ran."""
        if self._task.check_mode:
            return
        common = {"service": service.name, "host": self.view.host.name, "begun": begun, "ended": moment()}
        if point := result.get("restore_point"):
            detail = f"{point['name']} at {point['lsn']}"
            note_step({**common, "name": "set a restore point", "verdict": "done", "detail": detail})
        if result.get("failed") or result.get("steps"):
            verdict = "fail" if result.get("failed") else "done"
            detail = result.get("msg") or "; ".join(result["steps"])
            note_step({**common, "name": "migrate", "verdict": verdict, "detail": detail})

    def _planned(self, told: Mapping[str, Result]) -> Result:
        """Say what will run when; fail with all that is wrong, of all services."""
        problems: list[str] = []
        waiting: list[str] = []
        expands: list[str] = []
        for name, result in told.items():
            service = self.declared.stack.services[name]
            if result.get("failed"):
                problems.append(f"{service.migrations}: {result['msg']}")
            elif result["judged"]:
                problems += [f"{service.migrations}/{problem}" for problem in result["problems"]]
                pending = [*result["expand"], *result["contract"]]
                problems += [] if result["fresh"] else faults(service, self.declared.checkout, pending)
                self._say(service, result)
                waiting += result["contract"] if service.contract == "after_watch" else []
                expands += result["expand"]
        if problems:
            listing = "".join(f"\n  - {problem}" for problem in problems)
            raise SlipwayError(
                f"the migrations of this release are refused:{listing}\nNothing that runs was touched",
                "Correct them and run again",
            )
        return {"changed": False, "judged": _judged(told), "expand": expands, "contract": waiting}

    def _say(self, service: Service, result: Result) -> None:
        after = {"after_watch": "once the release is alone", "on_demand": "left to playbooks/contract.yml"}
        for when, files in (("before traffic", "expand"), (after[service.contract], "contract")):
            for file in result[files]:
                self._display.display(f"{service.name}: {file}, {when}")

    def _permitted(self, told: Mapping[str, Result], release: str) -> Result:
        problems = []
        for name, result in told.items():
            problems += [result["msg"]] if result.get("failed") else []
            problems += [f"{name}: {problem}" for problem in result.get("problems", [])]
        if problems:
            listing = "".join(f"\n  - {problem}" for problem in problems)
            raise SlipwayError(
                f"release {release} cannot serve with the schema as it is:{listing}\nNothing was changed",
                "The release that serves now goes on serving",
            )
        return {"changed": False, "judged": _judged(told), "contract": []}

    def _files(self, service: Service, release: str, state: str) -> dict[str, str]:
        """Where the files are on the host; a dry run, which has prepared no release, brings them along."""
        target = {"database": str(service.database)}
        if self._task.check_mode and release and state != "permitted":
            folder = str(self._make_tmp_path())
            for path in sorted((self.declared.checkout / str(service.migrations)).glob("*.sql")):
                self._transfer_data(f"{folder}/{path.name}", path.read_text(encoding="utf-8"))
            return {**target, "directory": folder}
        stored = f"releases/{release}" if release else "current"
        return {**target, "directory": f"/opt/{self.declared.stack.name}/{stored}/migrations/{service.name}"}


def _judged(told: Mapping[str, Result]) -> bool:
    return any(result.get("judged") for result in told.values())
