"""`scripts/ledger` against the lab's edge, as an operator runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.drill import drill_report

from lab import CHECKOUT, Lab

# Writes before the first fault and after the last: without them no interruption has two ends.
BEFORE_AND_AFTER = 5.0

# Shows figures of a run that passed, too.
Reported = Callable[[dict[str, Any]], None]


def keep_report(told: drill_report.Told, ledger: Path) -> None:
    """Beside the ledger: as Markdown, as a page with a picture, and as figures."""
    ledger.with_suffix(".md").write_text(drill_report.markdown(told))
    ledger.with_suffix(".html").write_text(drill_report.page(told))
    ledger.with_suffix(".json").write_text(json.dumps(told.to_dict(), indent=1) + "\n")


class Ledger:
    def __init__(self, lab: Lab, authority: Path, path: Path, second: Lab | None = None) -> None:
        """second: another site, whose edge the client knows as well and which is asked in the end."""
        self._path = path
        self._command = [sys.executable, str(CHECKOUT / "scripts/ledger")]
        site = ["--url", f"https://{lab.stack['domain']}:{lab.https_port}", "--ca", str(authority)]
        edges = [f"127.0.0.1:{known.https_port}" for known in (lab, second) if known]
        self._write = [*site, *(part for edge in edges for part in ("--connect", edge))]
        self._prove = [*site, "--connect", edges[-1]]
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        log = self._path.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(
            [*self._command, "write", str(self._path), *self._write], stdout=log, stderr=subprocess.STDOUT
        )
        limit = time.monotonic() + 120
        while not self._path.exists():
            assert self._process.poll() is None, self._path.with_suffix(".log").read_text()
            assert time.monotonic() < limit, "the ledger has not begun"
            time.sleep(0.2)  # between two looks
        time.sleep(BEFORE_AND_AFTER)

    def mark(self, text: str) -> None:
        subprocess.run([*self._command, "mark", str(self._path), text], check=True, timeout=30)

    def end(self) -> dict[str, Any]:
        """Stop writing, and every figure, with what is present, lost and duplicated."""
        time.sleep(BEFORE_AND_AFTER)
        self.stop()
        done = subprocess.run(
            [*self._command, "prove", str(self._path), "--json", *self._prove],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return dict(json.loads(done.stdout))

    def stop(self) -> None:
        """Writes in flight are brought to their end first."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=180)
