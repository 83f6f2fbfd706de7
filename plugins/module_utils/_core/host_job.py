"""A job on a host that outlives the module call that began it, and tells its progress in a file."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import SlipwayError

# How long one `follow` waits for news; and `begin` for the first of them.
PATIENCE = 10.0
BEGINS_WITHIN = 60.0

Say = Callable[[str], object]


class Log:
    """Events of a job, a JSON object a line; its writer holds a lock on the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def begun(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def at_work(self) -> bool:
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def events(self) -> list[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def follow(self, known: int, progress: Callable[[], str]) -> dict[str, Any]:
        """What happened after the first `known` events, whether it goes on, and how far it is, in words."""
        limit = time.monotonic() + PATIENCE
        while self.at_work() and len(self.events()) <= known and time.monotonic() < limit:
            time.sleep(0.3)  # between two looks
        going_on, events = self.at_work(), self.events()
        told = ""
        if going_on and len(events) <= known:
            try:
                told = progress()
            except SlipwayError:
                told = ""
        return {"events": events[known:], "going_on": going_on, "progress": told}


def begin(log: Log, what: str, do: Callable[[Say], Mapping[str, Any]]) -> None:
    """Have it done by a process of its own, and return once that has begun; its last event tells how it went.

    SlipwayError where another one is at work.
    """
    if log.at_work():
        said = next((it["say"] for it in log.events() if "say" in it), what)
        raise SlipwayError(
            f"another run's job is at work here: {said}",
            f"Wait until it has ended: `tail -f {log.path}` on this host",
        )
    log.clear()
    detach(lambda: telling(log, what, do), log.path.with_suffix(".err"))
    until = time.monotonic() + BEGINS_WITHIN
    while not log.begun() and time.monotonic() < until:
        time.sleep(0.1)  # between two looks
    if not log.begun():
        raise SlipwayError(
            f"the {what} did not begin within {BEGINS_WITHIN:.0f} s",
            f"Look at {log.path.with_suffix('.err')} on this host, and at its load; then run this again",
        )


def telling(log: Log, what: str, do: Callable[[Say], Mapping[str, Any]]) -> None:
    """Do it to its end; how it went is the last event, never an exception."""
    with log.path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def tell(event: Mapping[str, Any]) -> None:
            file.write(f"{json.dumps(event)}\n")
            file.flush()
            os.fsync(file.fileno())

        tell({"say": f"{what} begins"})
        try:
            tell(do(lambda line: tell({"say": line})))
        except SlipwayError as error:
            tell({"problem": error.problem, "remedy": error.remedy})
        except Exception:
            tell({"problem": traceback.format_exc(), "remedy": "This is a fault in Slipway: report it"})


def detach(work: Callable[[], None], log: Path) -> None:
    """Run `work` in a process of its own session that outlives this one and holds none of its streams."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, stream in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, stream)
        work()
        sys.stdout.flush()
    except BaseException:
        # Nobody else would tell it: the process ends here.
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)
