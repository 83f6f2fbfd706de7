"""Networks and ports for tests that run side by side: each worker of pytest-xdist has a share of its own."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import ExitStack, suppress

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Below those that the kernel gives to connections: one of these could go between the look and its use.
FIRST, SHARE, BLOCK = 20000, 3000, 15
_BLOCKS = itertools.cycle(range(FIRST + WORKER * SHARE, FIRST + (WORKER + 1) * SHARE, BLOCK))


def own_subnet(third: int) -> str:
    """The first three numbers of the addresses in a /24 that no other worker has."""
    return f"10.{98 + WORKER}.{third}"


def free_ports(count: int) -> range:
    """So many in a row that nobody listens on, and that were not given before unless long ago."""
    for first in itertools.islice(_BLOCKS, SHARE // BLOCK):
        ports = range(first, first + count)
        with suppress(OSError), ExitStack() as held:
            for port in ports:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
    raise AssertionError(f"no {count} free ports in a row")


def free_port() -> int:
    return free_ports(1)[0]
