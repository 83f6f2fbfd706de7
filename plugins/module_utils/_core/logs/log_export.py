"""Send what this host's journal holds to somebody else's intake for logs, over OTLP/HTTP.

Runs on every host once for each destination, as the service `slipway-log-export@NAME`: apart from the program
that sends to the log store, and from the other destinations, so that none waits for another. The journal is
the buffer: what cannot be sent stays there. The place in the journal moves when the receiver has taken lines,
or has refused them for good: each is sent at least once. What a release says of the destination is read again
whenever it changes. Needs nothing but Python and `journalctl`.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import textfile
from ..textfile import Sample
from .journal import Journal, UnavailableError
from .journal_lines import Line, line
from .journal_place import Place
from .otlp_intake import Answer, Destination, Intake
from .otlp_logs import body, request

# Of one request: what every receiver known takes.
MOST_LINES, MOST_BYTES = 1000, 1 << 20
# Requests in which the lines are looked for that spoil the others, when a request is refused.
SEARCH = 64
# Seconds between two tries: at first, at most, and at most where the receiver asks for more.
FIRST, MOST, MOST_PATIENCE = 1.0, 60.0, 300.0
METRICS = 15.0
# Between two lines of our own that say the same: they are exported, too.
AGAIN = 60.0

SUCCESS = "slipway_log_export_last_success_timestamp_seconds"
HELP = {
    "slipway_log_export_lines_total": "counter Lines that the receiver has taken, since this program runs.",
    "slipway_log_export_refused_total": "counter Lines that the receiver has refused for good.",
    "slipway_log_export_failures_total": "counter Times that nothing could be sent.",
    "slipway_log_export_behind_seconds": "gauge Age of the oldest line that was not sent; 0 if all were.",
    SUCCESS: "gauge When the receiver last took something.",
}


class TryAgainError(UnavailableError):
    """The receiver has answered, and may take the same lines later. wait: seconds that it asks for."""

    def __init__(self, said: str, wait: float = 0.0) -> None:
        super().__init__(said)
        self.wait = wait


class Export:
    """Reads, sends to one destination, and remembers how far it has come."""

    def __init__(self, name: str, settings: Path, state: Path, metrics: Path) -> None:
        self._name, self._settings, self._state, self._metrics = name, settings, state, metrics
        self._place = Place.read(state)
        self._remembered = self._place.cursor
        self._lines = self._refused = self._failures = self._in_a_row = 0
        self._oldest = self._success = self._told = self._written = 0.0
        self._said: dict[str, float] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        """Until it is told to stop; whatever goes wrong, it begins anew from its place."""
        while not self.stopped.is_set():
            try:
                for _batch in self._from_place():
                    if self.stopped.is_set():
                        break
            except UnavailableError as error:
                self._failures += 1
                self._oldest = self._oldest or self._place.moment or time.time()
                self._say("wait", f"lines wait in the journal: {error}")
                self._pause(error.wait if isinstance(error, TryAgainError) else 0.0)
            finally:
                self._remember()

    def _from_place(self) -> Iterator[int]:
        """One step for each batch, also an empty one."""
        changed = self._changed()
        if changed is None:
            # The release that serves knows nothing of it, as after a rollback.
            self._metrics.unlink(missing_ok=True)
            self._oldest = 0.0
            self.stopped.wait(METRICS)
            return
        to = Destination.read(self._settings)
        with contextlib.ExitStack() as closing:
            intake = Intake(to)
            closing.callback(intake.close)
            journal = Journal(self._place.cursor)
            closing.callback(journal.close)
            while True:
                lines = [line(entry, to.host) for entry in journal.batch()]
                if lines:
                    self._oldest = lines[0].moment
                    self._send(intake, to, lines)
                # In the middle of much that has waited, what comes next is about as old as this.
                self._oldest = lines[-1].moment if lines else 0.0
                self._tell(time.time())
                if time.monotonic() - self._written >= 1:
                    self._remember()
                yield len(lines)
                if self._changed() != changed:
                    return

    def _changed(self) -> int | None:
        """When what a release says of the destination did; None where it says nothing."""
        try:
            return self._settings.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _send(self, intake: Intake, to: Destination, lines: Sequence[Line]) -> None:
        wanted = [one for one in lines if to.audit or not one.audit]
        for part in parts(wanted):
            taken = self._lines
            self._deliver(intake, to, part, [SEARCH])
            if self._lines == taken:
                # It takes nothing at all: a setting, rather than a line. So it loses little while that is so.
                self._pause(0.0)
            else:
                self._in_a_row = 0
            if self.stopped.is_set():
                return
        self._came_to(lines[-1])

    def _deliver(self, intake: Intake, to: Destination, lines: Sequence[Line], tries: list[int]) -> None:
        """All of them, or without those that the receiver refuses for good. tries: requests that are left."""
        tries[0] -= 1
        self._tell(time.time())
        answer = intake.send(body(request(lines, to.environment, to.stack), to.encoding))
        if answer.taken:
            self._taken(answer, lines)
        elif not answer.refused:
            raise TryAgainError(f"it answers {answer.status}: {answer.said}", answer.retry_after)
        elif len(lines) > 1 and tries[0] > 0:
            half = len(lines) // 2
            self._deliver(intake, to, lines[:half], tries)
            self._deliver(intake, to, lines[half:], tries)
        else:
            self._left_out(len(lines), f"it answers {answer.status}: {answer.said}")
            self._came_to(lines[-1])

    def _taken(self, answer: Answer, lines: Sequence[Line]) -> None:
        rejected = max(0, min(answer.rejected, len(lines)))
        self._lines += len(lines) - rejected
        self._success = time.time()
        if rejected:
            self._left_out(rejected, f"it has taken the others: {answer.said}")
        elif answer.said:
            self._say("warned", f"it has taken lines and says: {answer.said}")
        self._came_to(lines[-1])

    def _left_out(self, lines: int, why: str) -> None:
        self._refused += lines
        self._say("refused", f"lines are refused for good and left out, {self._refused} so far: {why}")

    def _came_to(self, line: Line) -> None:
        self._place.cursor, self._place.moment = line.cursor, line.moment

    def _say(self, what: str, words: str) -> None:
        """In the journal; the same soon again is told by the counters."""
        now = time.monotonic()
        if now - self._said.get(what, -AGAIN) >= AGAIN:
            self._said[what] = now
            print(f"{self._name}: {words}", file=sys.stderr, flush=True)

    def _pause(self, asked: float) -> None:
        """Ever longer, never the same for all hosts; what the receiver asks for, if that is longer."""
        until = time.monotonic() + max(backoff(self._in_a_row), min(asked, MOST_PATIENCE))
        self._in_a_row += 1
        while (left := until - time.monotonic()) > 0 and not self.stopped.is_set():
            self._tell(time.time())
            self.stopped.wait(min(left, METRICS))

    def _remember(self) -> None:
        self._written = time.monotonic()
        if self._place.cursor != self._remembered:
            self._place.write(self._state)
            self._remembered = self._place.cursor

    def _tell(self, now: float) -> None:
        if now - self._told < METRICS:
            return
        self._told = now
        label = f'export="{self._name}"'
        behind = max(now - self._oldest, 0) if self._oldest else 0
        samples: list[Sample] = [
            ("slipway_log_export_lines_total", label, self._lines),
            ("slipway_log_export_refused_total", label, self._refused),
            ("slipway_log_export_failures_total", label, self._failures),
            ("slipway_log_export_behind_seconds", label, round(behind, 3)),
        ]
        if self._success:
            samples.append((SUCCESS, label, round(self._success, 3)))
        textfile.write(self._metrics, textfile.text(samples, HELP))


def backoff(failures: int) -> float:
    """Seconds: twice as long each time up to a bound, of which chance takes up to a half."""
    most = min(FIRST * 2.0 ** min(failures, 16), MOST)
    return most - most / 2 * random.random()


def parts(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """As they go out together: of bounded number and size, but for a line that is larger itself."""
    found: list[Line] = []
    size = 0
    for one in lines:
        if found and (len(found) == MOST_LINES or size + len(one.text) > MOST_BYTES):
            yield found
            found, size = [], 0
        found.append(one)
        size += len(one.text)
    if found:
        yield found


def main(stack: Path, state: Path, name: str) -> None:
    settings = stack / f"config/host/log-exports/{name}.json"
    export = Export(name, settings, state / "place.json", stack / f"state/metrics/log_export_{name}.prom")

    def stop(_signal: int, _frame: object) -> None:
        export.stopped.set()

    signal.signal(signal.SIGTERM, stop)
    export.run()
