"""The program that sends a host's journal to others, as a process, laid out as roles/host does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from file_journal import FileJournal
from host_programs import installed

# Seconds until a process that was told to end has ended, on a machine that stalls.
ENDING = 60


class ExportProgram:
    """One for each destination; those of one folder read the same journal."""

    def __init__(self, folder: Path, journal: FileJournal, name: str, url: str, **settings: Any) -> None:
        self._folder, self._journal, self.name = folder, journal, name
        self._state = folder / "own" / name
        self._process: subprocess.Popen[bytes] | None = None
        if not (folder / "program").exists():
            installed("log_export", folder / "program")
        self.settings = folder / f"config/host/log-exports/{name}.json"
        for made in (self._state, folder / "state/metrics", self.settings.parent):
            made.mkdir(parents=True, exist_ok=True)
        origin = {"host": "h1.test", "stack": "shop", "environment": "lab"}
        told = {"url": url, "headers": {}, "encoding": "json", "audit": False, **origin, **settings}
        self.settings.write_text(json.dumps(told))

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-I", self._folder / "program", self._folder, self._state, self.name]
        variables = {"PATH": self._journal.path, **environment}
        with (self._folder / f"{self.name}.said").open("ab") as said:
            self._process = subprocess.Popen(command, env=variables, stderr=said, stdout=said)

    @property
    def seen_by_others(self) -> str:
        """Its command line, and what its children have."""
        assert self._process
        tasks = [self._process.pid, *map(int, self._children())]
        return "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in tasks)

    def _children(self) -> list[str]:
        assert self._process
        pid = self._process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def stop(self) -> int:
        """As systemd does; its status."""
        assert self._process
        self._process.terminate()
        return self._process.wait(ENDING)

    def kill(self) -> None:
        if self._process:
            children = self._children() if self._process.poll() is None else []
            self._process.kill()
            self._process.wait(ENDING)
            for child in children:
                subprocess.run(["kill", child], check=False, capture_output=True)
        self._process = None

    @property
    def said(self) -> str:
        return (self._folder / f"{self.name}.said").read_text()

    @property
    def place(self) -> str:
        """Cursor of the last line that counts as sent."""
        file = self._state / "place.json"
        return str(json.loads(file.read_text())["cursor"]) if file.exists() else ""

    def told(self, metric: str) -> float:
        """What the monitoring reads; -1 where that is nothing yet."""
        file = self._folder / f"state/metrics/log_export_{self.name}.prom"
        text = file.read_text() if file.exists() else ""
        found = re.search(rf'^slipway_log_export_{metric}{{export="{self.name}"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else -1.0
