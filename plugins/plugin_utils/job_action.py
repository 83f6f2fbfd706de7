"""An action whose module begins a job on the host: its progress is shown until it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from ..module_utils._core.errors import SlipwayError
from .stack_action import Result, StackAction

# A job goes on while its host cannot be asked, so one question without an answer is no failure.
SILENT_AT_MOST = 120.0
_AGAIN_AFTER = 2.0


class JobAction(StackAction):
    """Follows jobs of `module_utils/_core/host_job.py`."""

    def follow(
        self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any], killed: SlipwayError
    ) -> tuple[list[str], Result]:
        """What the job said, and its last event, once it has ended.

        arguments: with which the module tells what is new. killed: the failure where it ended without a word.
        """
        steps, known, shown, last = list[str](), 0, "", dict[str, Any]()
        while True:
            told = self._asked({**arguments, "lines": known}, task_vars)
            for event in told["events"]:
                known, last = known + 1, event
                if "say" in event:
                    steps.append(event["say"])
                    self._display.display(f"  {event['say']}")
            if told["progress"] and told["progress"] != shown:
                shown = told["progress"]
                self._display.display(f"  {shown}")
            if not told["going_on"] and not told["events"]:
                break
        if "problem" in last:
            raise SlipwayError(last["problem"], last["remedy"])
        if "done" not in last:
            raise killed
        return steps, last

    def _asked(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Result:
        until = time.monotonic() + SILENT_AT_MOST
        while True:
            try:
                return self.checked(arguments, task_vars)
            except AnsibleConnectionFailure:
                if time.monotonic() > until:
                    raise
            time.sleep(_AGAIN_AFTER)  # the way there may be back

    def checked(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Result:
        """Run the module; its failure is this action's."""
        result = self.module(arguments, task_vars)
        if "problem" in result:
            raise SlipwayError(result["problem"], result["remedy"])
        if result.get("failed") or result.get("unreachable"):
            raise AnsibleActionFail(str(result.get("msg", "the module failed")), result=result)
        return result
