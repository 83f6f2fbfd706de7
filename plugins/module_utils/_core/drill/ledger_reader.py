"""Reads at a steady rate, beside the writes, what replicas answer; notes each answer and each failure."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException

from . import ledger_wayfare as wayfare
from .ledger_client import Client, NeverSentError
from .ledger_file import LedgerFile
from .ledger_writer import Turns, short

# Of all readers together, a second. With the 8 writes it stays below the 600 requests a minute that an
# address is allowed in the example of production: more would turn writes away, and change what they measure.
RATE = 1.5
# One that waits for a host that is gone must not be all that is measured.
THREADS = 2


class Reader:
    """A read is tried once: what a user sees who asks once. The next one is another question."""

    def __init__(self, file: LedgerFile, rate: float = RATE) -> None:
        self._file = file
        self._turns = Turns(rate)
        self._questions = itertools.cycle(wayfare.questions())
        self._lock = threading.Lock()

    @contextmanager
    def at_work(self, connect: Callable[[], Client]) -> Iterator[None]:
        """Reads until it is left, also while the last writes are brought to their end."""
        ending = threading.Event()

        def thread() -> None:
            client = connect()
            try:
                while self._turns.wait(ending):
                    self.read(client)
            finally:
                client.close()

        with ThreadPoolExecutor(THREADS) as pool:
            threads = [pool.submit(thread) for _ in range(THREADS)]
            try:
                yield
            finally:
                ending.set()
        for done in threads:
            done.result()

    def read(self, client: Client) -> str:
        """Ask once; why there was no answer, or ""."""
        with self._lock:
            question = next(self._questions)
        try:
            why = question.missing(client.ask("GET", question.path))
        except NeverSentError as error:
            why = f"no connection ({short(error)})"
        except (OSError, HTTPException) as error:
            why = short(error)
        if why:
            self._file.note("read failed", path=question.path, why=why)
        else:
            self._file.note("read")
        return why
