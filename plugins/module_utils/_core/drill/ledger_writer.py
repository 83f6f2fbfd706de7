"""Writes at a steady rate from several threads until told to stop, and notes what became of each write."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException

from ..errors import SlipwayError
from ..retry import Patience, delays
from . import ledger_wayfare as wayfare
from .ledger import ACKNOWLEDGED, NOT_SENT, REFUSED, UNKNOWN, Write, fate
from .ledger_client import Answer, Client, NeverSentError
from .ledger_file import LedgerFile

SOLD_OUT = "sold_out"


@dataclass(frozen=True)
class Pace:
    """rate: writes a second of all threads together. patience: seconds after which a write is given up.

    timeout: seconds for one try. pause: seconds before the second one, and up to eight times as long later.
    A write that is given up may be there or not: neither is a fault.
    """

    rate: float = 8.0
    threads: int = 4
    timeout: float = 5.0
    patience: float = 120.0
    pause: float = 0.1


class Turns:
    """Of several threads one after the other, so many a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._due = time.monotonic()

    def wait(self, ending: threading.Event) -> bool:
        """False when the run ends. Turns missed in an interruption are not made up for: no stampede."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due + 1 / self._rate, now)
            pause = self._due - now
        return not ending.wait(pause)


class Writer:
    """One run: numbers its writes, and never sends one again but with its own key and content."""

    def __init__(self, run: str, file: LedgerFile, journeys: wayfare.Journeys, pace: Pace) -> None:
        self._run = run
        self._file = file
        self._journeys = journeys
        self._pace = pace
        self._numbers = iter(range(1 << 62))
        self._lock = threading.Lock()
        self._turns = Turns(pace.rate)
        self.acknowledged = 0
        self.last = 0.0

    def work(self, connect: Callable[[], Client], ending: threading.Event) -> None:
        """Until `ending` is set or one thread fails; writes in flight are brought to their end first."""

        def thread() -> None:
            client = connect()
            try:
                while self._turns.wait(ending):
                    self.write(client)
            except BaseException:
                ending.set()
                raise
            finally:
                client.close()

        with ThreadPoolExecutor(self._pace.threads) as pool:
            for done in [pool.submit(thread) for _ in range(self._pace.threads)]:
                done.result()

    def write(self, client: Client) -> str:
        """One write to its end: acknowledged, refused, or given up (its fate unknown)."""
        with self._lock:
            write = Write(self._run, next(self._numbers))
        journey = self._journeys.next()
        patience = Patience(
            self._pace.patience, delays(self._pace.pause, 8 * self._pace.pause, random.random)
        )
        tries = 0
        while True:
            tries += 1
            found, why, answer = self._try(client, write, journey)
            if found == ACKNOWLEDGED and answer:
                self._acknowledge(write, answer, tries)
                return ACKNOWLEDGED
            if found == REFUSED:
                if why == SOLD_OUT:
                    self._journeys.sold_out(journey)
                self._file.note("refused", seq=write.seq, why=why)
                return REFUSED
            self._file.note("again", seq=write.seq, fate=found, why=why)
            if not patience.again():
                self._file.note("given up", seq=write.seq)
                return UNKNOWN

    def _try(self, client: Client, write: Write, journey: str) -> tuple[str, str, Answer | None]:
        """What became of one try, why, and the answer, if any."""
        try:
            answer = wayfare.book(client, write, journey)
        except NeverSentError as error:
            return NOT_SENT, f"no connection ({short(error)})", None
        except (OSError, HTTPException) as error:
            return UNKNOWN, short(error), None
        if answer.code == "key_used":
            raise SlipwayError(
                f"the key {write.key} stands for another booking",
                "Two ledgers have the same run id, or an idempotency key was not kept; stop and look",
            )
        return fate(answer.status), answer.code, answer

    def _acknowledge(self, write: Write, answer: Answer, tries: int) -> None:
        at = self._file.durably("acknowledged", seq=write.seq, row=wayfare.row_of(answer), tries=tries)
        with self._lock:
            self.acknowledged += 1
            self.last = at


def short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:120]
