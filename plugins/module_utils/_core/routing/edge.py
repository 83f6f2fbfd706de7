"""The edge of one host, told what it shall do with its clients' connections by files that it looks for.

nginx that reloads or ends closes idle HTTP/1 connections at once, under the request that a client may just be
sending. So before that happens each answer says `Connection: close`, until no idle connection is left.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import SlipwayError
from ..run import Run
from ..tree import File, write_file

COMPONENT = "edge"
# Each answer ends its connection. No new clients, please: what a load balancer in front is told.
CLOSING, LEAVING = "state/edge/closing", "state/edge/leaving"
# nginx's `keepalive_timeout`: none that was idle before is idle any longer.
LONGEST_IDLE = 65.0
# Whether an answer ends its connection is decided when its request begins: most that had begun before have
# ended by now.
LONGEST_USUAL = 15.0
POLL = 0.2
# Seconds a reload may take until the old workers have stopped taking connections.
RELOAD = 10.0

_STATUS = "http://127.0.0.1:8081/nginx_status"
_WORKERS = re.compile(r"^/proc/(\d+)/cmdline:nginx: worker process\W*$", re.MULTILINE)


@dataclass(frozen=True)
class Connections:
    """Of clients: all, and those that wait for nothing."""

    open: int
    idle: int


def parse_connections(status: str) -> Connections:
    """From nginx's `stub_status`; whoever asks is not counted."""
    found = re.search(r"Active connections: (\d+).*Waiting: (\d+)", status, re.DOTALL)
    if not found:
        raise SlipwayError(
            f"the edge's status page says {status.strip()[:60]!r}", "Read its log: `docker logs`"
        )
    return Connections(int(found[1]) - 1, int(found[2]))


class Edge:
    """One host's nginx, and the files it looks for."""

    def __init__(
        self,
        run: Run,
        stack: str,
        root: Path,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._container = f"{stack}-{COMPONENT}-1"
        self._root = root
        self._clock = clock
        self._sleep = sleep

    @property
    def out(self) -> bool:
        """Whether it was told to send its clients elsewhere, and not yet to take them back."""
        return (self._root / LEAVING).exists()

    def connections(self) -> Connections:
        return parse_connections(self._inside("curl", "--silent", "--max-time", "4", _STATUS))

    def send_away(self) -> None:
        """No new clients, and those that are here are to leave after their next answer."""
        self._mark(LEAVING)
        self._mark(CLOSING)

    def take_back(self) -> None:
        for path in (LEAVING, CLOSING):
            (self._root / path).unlink(missing_ok=True)

    def until_idle_ones_left(self, patience: float = LONGEST_IDLE) -> None:
        """Also those that were busy when they could have been told, and are idle after that."""
        begun = self._clock()
        while (waited := self._clock() - begun) < patience:
            there = self.connections()
            if not there.open or (not there.idle and waited >= LONGEST_USUAL):
                return
            self._sleep(POLL)

    def until_left(self, patience: float) -> int:
        """Wait until nobody is connected; the connections that are left when the time is over."""
        end = self._clock() + patience
        while (left := self.connections().open) and self._clock() < end:
            self._sleep(POLL)
        return left

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a reload or a restart: no idle connection before it, no old worker at work after it."""
        if not self._running():
            yield
            return
        self._mark(CLOSING)
        try:
            self.until_idle_ones_left()
            before = self._workers()
            yield
            end = self._clock() + RELOAD
            while before & self._workers() and self._clock() < end:
                self._sleep(POLL)
        finally:
            if not self.out:
                (self._root / CLOSING).unlink(missing_ok=True)

    def _workers(self) -> set[str]:
        """Processes that take connections; those that are ending call themselves otherwise."""
        # grep fails where a process ends while it looks, and where it finds none, which is an answer.
        script = "grep -a 'nginx: worker process' /proc/[0-9]*/cmdline || true"
        listed = self._inside("sh", "-c", script).replace("\0", "")
        return set(_WORKERS.findall(listed))

    def _running(self) -> bool:
        return self._run(["docker", "exec", self._container, "true"])[0] == 0

    def _mark(self, path: str) -> None:
        write_file(self._root / path, File(path, "", 0o644, os.geteuid()))

    def _inside(self, *command: str) -> str:
        code, out, err = self._run(["docker", "exec", self._container, *command])
        if code:
            raise SlipwayError(
                f"the edge on this host does not answer: {err.strip() or f'exit status {code}'}",
                f"Read `docker logs {self._container}`; deploy again",
            )
        return out
