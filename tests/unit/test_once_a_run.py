"""What one worker of a run has worked out, the others need not; what was not finished, they do."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
from ansible_collections.slipway.compose.plugins.plugin_utils.once_a_run import Memory

FORK = multiprocessing.get_context("fork")


def in_another_process(work):
    """What `work` returns when a fork of this process does it; its exit status where it did not return."""
    answers = FORK.SimpleQueue()
    worker = FORK.Process(target=lambda: answers.put(work()))
    worker.start()
    worker.join(timeout=120)
    return answers.get() if worker.exitcode == 0 else worker.exitcode


def process():
    return {"process": os.getpid()}


def test_the_second_worker_is_told_what_the_first_found():
    memory = Memory()
    first = in_another_process(lambda: memory.once("key", process))
    assert first["process"] != os.getpid()
    assert in_another_process(lambda: memory.once("key", process)) == first
    assert memory.once("key", process) == first


@pytest.mark.parametrize("other", ["other key", ("key",), 1], ids=repr)
def test_what_follows_from_something_else_is_another_value(other):
    memory = Memory()
    memory.once("key", lambda: "one")
    assert memory.once(other, lambda: "another") == "another"
    assert memory.once("key", lambda: "never") == "one"


def test_a_failure_is_not_kept():
    memory = Memory()
    with pytest.raises(ZeroDivisionError):
        memory.once("key", lambda: 1 / 0)
    assert memory.once("key", lambda: "well") == "well"


def test_what_does_not_fit_is_worked_out_each_time():
    memory, seen = Memory(size=4096), []
    for _ in range(2):
        memory.once("key", lambda: seen.append("asked") or "x" * 8192)
    assert len(seen) == 2
    assert memory.once("small", lambda: "fits") == memory.once("small", lambda: "never") == "fits"


def test_a_worker_that_is_killed_stands_in_nobodys_way():
    memory = Memory()
    killed = in_another_process(lambda: memory.once("key", lambda: os.kill(os.getpid(), signal.SIGKILL)))
    assert killed == -signal.SIGKILL
    assert memory.once("key", lambda: "alone") == "alone"
