"""A file in a journal's place, and what follows it as `journalctl --follow` does a journal."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

JOURNALCTL = """#!{python}
import json, os, sys, time
# Who reads it may be killed: nothing would tell one that has nothing to write.
reader = os.getppid()
after = next((it.partition("=")[2] for it in sys.argv if it.startswith("--after-cursor=")), None)
with open({file!r}) as stream:
    seen, rest = after is None, ""
    while os.getppid() == reader:
        rest += stream.readline()
        if not rest.endswith("\\n"):
            time.sleep(0.05)
            continue
        if seen:
            print(rest, end="", flush=True)
        seen = seen or json.loads(rest)["__CURSOR"] == after
        rest = ""
"""


class FileJournal:
    """Below a folder: the file, and a program `journalctl` for whoever is given `path`."""

    def __init__(self, folder: Path) -> None:
        self._file, self._programs = folder / "journal", folder / "bin"
        self.written = 0
        self._programs.mkdir(parents=True)
        self._file.touch()
        program = self._programs / "journalctl"
        program.write_text(JOURNALCTL.format(python=sys.executable, file=str(self._file)))
        program.chmod(0o755)

    @property
    def path(self) -> str:
        """The variable PATH of a program that reads it."""
        return f"{self._programs}:{os.environ['PATH']}"

    def says(self, lines: int = 1, **fields: str) -> None:
        with self._file.open("a") as stream:
            for _ in range(lines):
                self.written += 1
                entry = {
                    "__CURSOR": f"c{self.written}",
                    "__SEQNUM": str(self.written),
                    "__SEQNUM_ID": "5ca1ab1e" + 24 * "0",
                    "__REALTIME_TIMESTAMP": str(time.time_ns() // 1000),
                    "MESSAGE": json.dumps({"event": "said", "request_id": f"request-{self.written:06d}"}),
                    **fields,
                }
                stream.write(json.dumps(entry) + "\n")
