"""Kill the run where the task begins that SLIPWAY_KILL_AT names, and tell the boundaries; for tests."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: kill_at
type: aggregate
short_description: Kill ansible-playbook at a task boundary
version_added: 0.1.0
author: Slipway contributors
description:
  - Sends SIGKILL to its process group when a task begins, the one with the number C(SLIPWAY_KILL_AT),
    or the first with that in its name.
  - Until then, tells each boundary where the hosts are not as they were at the one before.
"""
# Said before the end, so that a log tells it from any other death.
WORDS = "KILLED before task"
BOUNDARY = "BOUNDARY before task"
# What these write is not always a change by Ansible's word: a lock's mark, a record, a share of the traffic.
WRITING = {"release_record", "rollout", "stack_lock", "stack_release"}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._touched = False
        self._last = os.environ["SLIPWAY_KILL_AT"]
        # The group that dies must be the run's own.
        assert os.getpgrp() == os.getpid(), "start ansible-playbook in a session of its own"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._number += 1
        reached = str(self._number) == self._last
        if reached or not self._last.isdigit() and self._last in task.get_name():
            self._say(WORDS, task)
            os.killpg(os.getpgrp(), signal.SIGKILL)
        if self._touched:
            self._say(BOUNDARY, task)
            self._touched = False

    def v2_runner_on_ok(self, result: Any) -> None:
        writes = result.task.action.rpartition(".")[2] in WRITING
        self._touched = self._touched or writes or result.is_changed()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._touched = True

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._touched = True

    def _say(self, words: str, task: Any) -> None:
        sys.stdout.write(f"\n{words} {self._number}: {task.get_name()}\n")
        sys.stdout.flush()
