"""What befalls a machine of the lab, and passes.

`docker pause` is none of these: a lab host's own containers are outside its control group and go on serving.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from site_under_test import Machine

INTERFACE = "eth0"
# Before any other rule sees a packet; the peers hear nothing at all, not even a refusal.
RULES = """
table inet fault {{
  chain in {{ type filter hook prerouting priority -500; iifname "{interface}" {what_comes} drop; }}
  chain out {{ type filter hook postrouting priority 500; oifname "{interface}" {what_goes} drop; }}
}}
"""


@contextmanager
def unplugged(machine: Machine) -> Iterator[None]:
    """A machine that has vanished: no power, a dead kernel, no network. No packet comes or goes."""
    with _dropping(machine):
        yield


@contextmanager
def cut_off(machine: Machine) -> Iterator[None]:
    """A machine that serves as before and that only the control node cannot reach any more."""
    with _dropping(machine, "tcp dport 22", "tcp sport 22"):
        yield


@contextmanager
def stopped(machine: Machine) -> Iterator[None]:
    """A machine whose kernel still acknowledges every packet, and on which no process runs."""
    inside(machine, "sh", "-c", "kill -STOP -1")
    try:
        yield
    finally:
        inside(machine, "sh", "-c", "kill -CONT -1")


@contextmanager
def _dropping(machine: Machine, what_comes: str = "", what_goes: str = "") -> Iterator[None]:
    rules = RULES.format(interface=INTERFACE, what_comes=what_comes, what_goes=what_goes)
    inside(machine, "nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        inside(machine, "nft", "delete", "table", "inet", "fault")


def inside(machine: Machine, *command: str, stdin: str = "") -> str:
    """Run something as root on a machine, whether or not it can be reached."""
    argv = ["docker", "exec", "--interactive", machine.container, *command]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"`{' '.join(command)}` on {machine.name}: {done.stderr}"
    return done.stdout
