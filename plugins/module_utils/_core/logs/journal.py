"""A host's journal, followed by `journalctl` in batches of bounded size."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

# A batch is sent when it holds so much, or when nothing has come for a moment.
BATCH_BYTES = 1 << 20
QUIET = 0.3
# An entry that is larger is no line; holding several of those would take more than the service may have.
LARGEST = 8 << 20


class UnavailableError(Exception):
    """The store, or the journal, is away for now."""


class Journal:
    """`journalctl`, following from a cursor on; from the first line that is kept where there is none."""

    def __init__(self, cursor: str, command: Sequence[str] = ("journalctl",)) -> None:
        after = [f"--after-cursor={cursor}"] if cursor else []
        words = ["--output=json", "--all", "--follow", "--no-tail", "--quiet", *after]
        self._process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE)
        self._rest = b""
        self._leaving_out = False

    def batch(self) -> list[dict[str, Any]]:
        """What has come until a batch is full or nothing more comes for a moment; may be nothing."""
        found: list[dict[str, Any]] = []
        size, stream = 0, self._process.stdout
        assert stream is not None
        while size < BATCH_BYTES and select.select([stream], [], [], QUIET)[0]:
            piece = os.read(stream.fileno(), 1 << 18)
            if not piece:
                raise UnavailableError(f"journalctl has ended with {self._process.wait()}")
            size += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            if self._leaving_out and lines:
                del lines[0]
                self._leaving_out = False
            found += [entry for text in lines if (entry := _entry(text))]
            self._bound()
        return found

    def _bound(self) -> None:
        """Of an entry that is too large nothing is held, up to its end."""
        if len(self._rest) > LARGEST:
            print(f"an entry of more than {LARGEST >> 20} MB is left out", file=sys.stderr, flush=True)
            self._leaving_out = True
        if self._leaving_out:
            self._rest = b""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def _entry(text: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(told, dict) and "__CURSOR" in told
    return told if whole and str(told.get("__REALTIME_TIMESTAMP")).isdecimal() else None
