"""Say what this run is, tell the stack's hooks of it, and print the records of earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.history.record import RUNNING, Record, by_run
from ..module_utils._core.history.record_text import page, table
from ..module_utils._core.release.hooks import notify
from ..plugin_utils.native import native
from ..plugin_utils.postgres_member import member
from ..plugin_utils.source_revision import revision
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import first_to, moment, noted_steps, this_run

TOLD = ("what", "release", "previous", "images", "services", "steps", "outcome", "reason")


class ActionModule(StackAction):
    """`shown` contacts no host; the other states run the module."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack, state = self.declared.stack, arguments.get("state")
        if state == "shown":
            return self._show(arguments, task_vars)
        arguments["stack"] = stack.name
        if state == "listed":
            return self.module(arguments, task_vars)
        if self._task.check_mode:
            return {"skipped": True, "skip_reason": "a dry run keeps no record"}
        if state == "ended" and not arguments.get("outcome"):
            raise SlipwayError("release_record: ended without an outcome", "Say what the run came to")
        record = self._record(state, arguments)
        own = {key: value for key, value in arguments.items() if key not in TOLD}
        database = member(stack, self.view) if self.view.runs("postgres") else {}
        told = self.module({**database, **own, "record": record.to_dict()}, task_vars)
        # Before a first deployment there is no database.
        missed = state == "ended" and told.get("database", "").startswith("not written")
        problems = [told["database"]] if missed else []
        if state in ("begun", "ended"):
            complete = Record.from_dict(told["record"]) if "record" in told else record
            told["hooks"] = self._tell_hooks(complete, state, problems)
        told["warnings"] = [*told.get("warnings", []), *problems]
        return told

    def _record(self, state: str, arguments: Mapping[str, Any]) -> Record:
        run = this_run()
        if state == "ended":
            arguments = {**arguments, "steps": [*noted_steps(), *arguments.get("steps", [])]}
        told = {key: arguments[key] for key in TOLD if arguments.get(key)}
        return Record.from_dict(
            {
                "outcome": RUNNING,
                **told,
                "id": run.record,
                "begun": run.begun,
                "ended": moment() if state == "ended" else "",
                "who": run.owner,
                "machine": run.control,
                "stack": self.declared.stack.name,
                "environment": self.declared.environment,
                "revision": revision(self.declared.checkout),
            }
        )

    def _tell_hooks(self, record: Record, state: str, problems: list[str]) -> list[str]:
        hooks = self.declared.stack.hooks
        if not hooks or not first_to(f"hooks-{state}"):
            return []
        secrets: dict[str, Any] = self.declared.document.get("user") or {}
        deliveries = notify(hooks, record, secrets)
        problems += [str(delivery) for delivery in deliveries if delivery.problem]
        return [str(delivery) for delivery in deliveries]

    def _show(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Result:
        copies, silent = [], []
        for host in self.topology.views:
            found: Any = native(task_vars["hostvars"][host].get(arguments["seen"]) or {})
            copies += [Record.from_dict(record) for record in found.get("records", [])]
            silent += [] if "records" in found else [host]
        if len(silent) == len(self.topology.views):
            raise SlipwayError("no host told its history", "See why: playbooks/status.yml")
        records = by_run(copies)[: int(arguments.get("limit", 20))]
        one = arguments.get("id")
        if one and not records:
            raise SlipwayError(f"no host has a record {one}", "See which there are: make history")
        if arguments.get("format") == "json":
            plain = [record.to_dict() for record in records]
            lines = json.dumps(plain[0] if one else plain, indent=1, sort_keys=True).split("\n")
        else:
            lines = page(records[0]) if one else table(records)
        if arguments.get("file"):
            Path(arguments["file"]).expanduser().write_text("\n".join(lines) + "\n", encoding="utf-8")
        for line in lines:
            self._display.display(line)
        warnings = [f"{host} was not asked or did not answer" for host in silent]
        return {"changed": False, "records": [record.to_dict() for record in records], "warnings": warnings}
