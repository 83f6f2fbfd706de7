"""Send what this host's journal holds, line by line, to the environment's log store; lose none.

Runs on every host as the service `slipway-log-shipper`. The journal is the buffer: containers and services
write there, whether or not anybody reads, and this reads on from where the store has surely kept what it was
sent. "Surely": the store writes to its disk once a second, so a line counts as kept SETTLED seconds after it
was taken, if the same process of the store still runs then. Whenever something has gone wrong (the store was
away or started anew, this program was) all that came later is looked at again; the store is asked what it has
of it, and gets the rest. Needs nothing but Python and `journalctl`.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import textfile
from ..textfile import Sample
from .journal import Journal, UnavailableError
from .journal_lines import Line, line
from .journal_place import Place
from .log_sink import STORES, Settings, Store

# Seconds between two looks at whether the store is still the same.
CHECK = 1.0
RETRY = 2.0
METRICS = 15.0

HELP = {
    "slipway_log_lines_total": "counter Lines that the store has taken, since this program runs.",
    "slipway_log_failures_total": "counter Times that the store could not be sent to.",
    "slipway_log_behind_seconds": "gauge Age of the oldest line that the store lacks; 0 if it has all.",
}


class Shipper:
    """Reads, sends, and remembers how far it has come."""

    def __init__(self, settings: Path, state: Path, metrics: Path) -> None:
        self._settings, self._state, self._metrics = settings, state, metrics
        self._place = Place.read(state)
        self._lines = dict.fromkeys(STORES, 0)
        self._failures = 0
        self._oldest = 0.0
        self._told = self._checked = 0.0
        self.going_on = True

    def run(self) -> None:
        """Until it is told to stop; whatever goes wrong, it begins anew from what is surely kept."""
        well = True
        while self.going_on:
            try:
                for _batch in self._from_what_is_kept():
                    well = True
                    if not self.going_on:
                        break
            except UnavailableError as error:
                if well:
                    print(f"lines wait in the journal: {error}", file=sys.stderr, flush=True)
                well, self._failures = False, self._failures + 1
                self._oldest = self._oldest or self._place.moment or time.time()
                self._tell(time.time())
                # A store that is away is not asked all the time; lines wait in the journal.
                time.sleep(RETRY)

    def _from_what_is_kept(self) -> Iterator[int]:
        """One step for each batch, also an empty one."""
        # Taken by a store that has failed, or by another one than the settings name now.
        self._place.taken.clear()
        settings = Settings.read(self._settings)
        changed = _stamp(self._settings, settings)
        with contextlib.ExitStack() as closing:
            store = Store(settings)
            closing.callback(store.close)
            # Lines that it has, of those that come after what is surely kept.
            running = store.started()
            has = {name: store.kept(name, self._place.moment) for name in STORES}
            journal = Journal(self._place.cursor)
            closing.callback(journal.close)
            while True:
                lines = [line(entry, settings.name) for entry in journal.batch()]
                if lines:
                    self._oldest = lines[0].moment
                    self._send(store, lines, has)
                    self._place.took(lines[-1], time.monotonic())
                # In the middle of much that has waited, what comes next is about as old as this.
                self._oldest = lines[-1].moment if lines else 0.0
                self._remember(store, running)
                self._tell(time.time())
                yield len(lines)
                if _stamp(self._settings, settings) != changed:
                    return  # another place, or another certificate

    def _send(self, store: Store, lines: Sequence[Line], has: dict[str, set[str]]) -> None:
        for name in STORES:
            mine = [one for one in lines if name == "logs" or one.audit]
            new = [one for one in mine if not one.seq or one.seq not in has.get(name, ())]
            if new:
                store.send(name, new)
                self._lines[name] += len(new)

    def _remember(self, store: Store, running: list[str]) -> None:
        now = time.monotonic()
        if not self._place.due(now) or now - self._checked < CHECK:
            return
        self._checked = now
        if store.started() != running:
            raise UnavailableError("the store was started anew: what it took last is looked at again")
        self._place.settle(now)
        self._place.write(self._state)

    def _tell(self, now: float) -> None:
        if now - self._told < METRICS:
            return
        self._told = now
        lines = self._lines.items()
        samples: list[Sample] = [("slipway_log_lines_total", f'store="{name}"', n) for name, n in lines]
        samples.append(("slipway_log_failures_total", "", self._failures))
        behind = max(now - self._oldest, 0) if self._oldest else 0
        samples.append(("slipway_log_behind_seconds", "", round(behind, 3)))
        textfile.write(self._metrics, textfile.text(samples, HELP))


def _stamp(settings: Path, read: Settings) -> list[int]:
    """Changes when the settings or the certificate do."""
    files = [settings, *(read.tls / name for name in ("ca.crt", "tls.crt", "tls.key"))]
    return [file.stat().st_mtime_ns if file.exists() else 0 for file in files]


def main(stack: Path, state: Path) -> None:
    shipper = Shipper(
        stack / "config/host/logs.json", state / "place.json", stack / "state/metrics/logs.prom"
    )

    def stop(_signal: int, _frame: object) -> None:
        shipper.going_on = False

    signal.signal(signal.SIGTERM, stop)
    shipper.run()
