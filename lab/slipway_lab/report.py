"""What the operator sees and the errors they can act on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class LabError(Exception):
    """A failure with a known cause and a next step."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}.")


def say(text: str) -> None:
    print(f"lab: {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce what takes long, then say how long it took."""
    say(f"{text} …")
    started = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - started:.1f} s")
