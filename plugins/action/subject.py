"""Judge the stack's SQL files, ask for consent, and write an export where nobody else sees it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..module_utils._core.data_care import subject
from ..module_utils._core.errors import SlipwayError
from ..plugin_utils.postgres_member import NOT_A_MEMBER, member
from ..plugin_utils.stack_action import Result, StackAction
from ..plugin_utils.this_run import this_run

_WHAT = {"exported": "export", "erased": "erase"}


class ActionModule(StackAction):
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack, state = self.declared.stack, arguments["state"]
        scripts = self._scripts(_WHAT[state])
        arguments = {**arguments, "subject": str(arguments.get("subject") or "")}
        if not arguments["subject"]:
            raise SlipwayError("nobody is named", "Say whose data it is about: -e subject=<id>")
        if state == "erased" and arguments.get("confirm") != stack.name and not self._task.check_mode:
            raise SlipwayError(
                "all that is held of a person would be erased for good",
                f"If that is meant, say so: -e confirm={stack.name}; see what it would be with --check",
            )
        path = self._place(str(arguments.get("file") or "")) if state == "exported" else None
        if not self.view.runs("postgres"):
            return NOT_A_MEMBER
        run = this_run()
        own = {"stack": stack.name, "scripts": scripts, "id": run.record, "by": f"{run.owner}@{run.control}"}
        result = self.module({**arguments, **own, **member(stack, self.view)}, task_vars)
        content = result.pop("content", None)
        if content and path and not self._task.check_mode:
            _write(path, base64.b64decode(content))
            result |= {"path": str(path), "changed": True}
        return result

    def _scripts(self, what: str) -> dict[str, list[str]]:
        checkout, found = self.declared.checkout, {}
        for name, care in self.declared.stack.data.databases.items():
            file = care.subject.export if what == "export" else care.subject.erase
            if file:
                text = (checkout / file).read_text(encoding="utf-8")
                found[name] = subject.judged(file, text, what)
        if not found:
            raise SlipwayError(
                f"the stack {self.declared.stack.name} does not say how to {what} a person's data",
                f"Declare stack/data/databases/<name>/subject/{what}: docs/data-care.md",
            )
        return found

    def _place(self, given: str) -> Path:
        path = Path(given or self.declared.checkout / "subjects" / f"{this_run().record}.json")
        if path.exists():
            raise SlipwayError(f"{path} is there already", "Name another file: -e file=…")
        return path


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(json.loads(content), file, indent=1, ensure_ascii=False)
        file.write("\n")
