"""Interruptions: they end the run like Ctrl-C does, and they do not end what tidies up after it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_as_by_ctrl_c() -> None:
    """Every signal that asks a program to end raises KeyboardInterrupt, so that `finally` is reached."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def undisturbed() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
