"""One host's history: /opt/<stack>/state/history/<id>.json, a record a file, the newest kept."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import SlipwayError
from ..tree import File, write_file
from .record import ID, RUNNING, SUCCEEDED, UNCHANGED, Record, interrupted

FOLDER = "state/history"
KEEP = 200


class History:
    """The records in a folder. A reader never finds half of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: Record, keep: int = KEEP) -> None:
        """Keep a record, in place of what was written of the same run; forget the oldest."""
        name = f"{record.id}.json"
        text = json.dumps(record.to_dict(), indent=1, sort_keys=True)
        write_file(self._folder / name, File(name, text, 0o644, os.geteuid()))
        for path in self._newest_first()[keep:]:
            path.unlink(missing_ok=True)

    def read(self, run: str) -> Record | None:
        """One record; None where there is none, or what is there cannot be read."""
        if not ID.fullmatch(run):
            raise SlipwayError(
                f"{run!r} is no id of a release record", "It is like 20261122T141502-3f2a9c; `make history`"
            )
        return next(self._readable([self._folder / f"{run}.json"]), None)

    def newest(self, limit: int) -> list[Record]:
        """The newest records that can be read, the newest first."""
        return list(self._readable(self._newest_first()[:limit]))

    def settled(self, release: str) -> bool:
        """Whether the last run ended well with a release: any other may have done more than is told of it."""
        newest = next(iter(self.newest(1)), None)
        return newest is not None and newest.outcome in (SUCCEEDED, UNCHANGED) and newest.release == release

    def close_interrupted(self, run: str) -> list[Record]:
        """Say of every other run that did not say how it ended that it was interrupted.

        Only for the run that holds the environment's lock: nobody else can be at work then.
        """
        left = [record for record in self.newest(KEEP) if record.outcome == RUNNING and record.id != run]
        closed = [interrupted(record, run) for record in left]
        for record in closed:
            self.write(record)
        return closed

    def _newest_first(self) -> list[Path]:
        # Their names begin with the time.
        return sorted((path for path in self._folder.glob("*.json") if ID.fullmatch(path.stem)), reverse=True)

    def _readable(self, paths: list[Path]) -> Iterator[Record]:
        for path in paths:
            try:
                yield Record.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, SlipwayError, AttributeError, TypeError):
                continue  # cut off by a power failure, or written by a newer version
