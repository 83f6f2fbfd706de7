"""Ends that nothing can answer to: a program, or a process in a container, killed at a chosen place."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence

from ansible_collections.slipway.compose.plugins.module_utils._core.run import Run, process
from backup_cluster import docker

LIMIT = 180
At = Callable[[str], bool]


def killed_at(work: Callable[[Run], object], at: At, *, torn: str = "") -> None:
    """Do work in a program of its own, which is killed before the first command that `at` names.

    torn: that command is begun, as a script of a shell, and its shell is killed where this word comes next.
    """

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        if at(f"{' '.join(argv)} {stdin or ''}"):
            if torn:
                head, found, tail = argv[-1].partition(torn)
                assert found, argv
                process([*argv[:-1], f"{head} kill -9 $$; {found}{tail}"], stdin)
            os.kill(os.getpid(), signal.SIGKILL)
        return process(argv, stdin)

    program = begun(lambda: work(run))
    # A restore waits up to 60 s for etcd alone.
    program.join(2 * LIMIT)
    assert program.exitcode == -signal.SIGKILL, f"it ended with {program.exitcode} before it was killed"


def begun(work: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    """Work in a program of its own."""
    program = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    program.start()
    return program


def found(container: str, words: str, until: Callable[[], bool] = lambda: True) -> list[int]:
    """The processes in a container whose command has those words, stopped; once `until` says so.

    The first that is seen is stopped at once, and goes on for a moment at a time until then: it cannot come
    to its end unseen.
    """
    limit = time.monotonic() + LIMIT
    while True:
        pids = _listed(container, words)
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        if pids and until():
            # Those that came meanwhile are its children, which wait for it.
            return pids
        assert time.monotonic() < limit, docker("top", container, check=False)
        going_on(pids)
        time.sleep(0.02)  # between two looks


def end(pids: Sequence[int]) -> None:
    for pid in pids:
        _send(pid, signal.SIGKILL)


def going_on(pids: Sequence[int]) -> None:
    for pid in pids:
        _send(pid, signal.SIGCONT)


def _listed(container: str, words: str) -> list[int]:
    lines = docker("top", container, "-eo", "pid,args", check=False).splitlines()
    rows = [line.split(None, 1) for line in lines if words in line]
    return [int(row[0]) for row in rows if row[0].isdigit()]


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)
