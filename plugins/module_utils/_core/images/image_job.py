"""A build job: lives on after the module call that started it, and tells its progress in a file."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import shutil
import tarfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from .image_builder import ImageBuilder, Item
from .image_catalog import BASE

Event = Mapping[str, Any]


class Workshop:
    """The folder on the builder that jobs use, one job at a time."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.contexts = folder / "contexts"
        self.archives = folder / "archives"
        self._folder = folder
        self._events = folder / "events.jsonl"
        self._lock = folder / "lock"
        self._writing = threading.Lock()

    def open(self) -> int | None:
        """Claim the workshop; None while another job has it. It ends with the processes that hold it."""
        for folder in (self.logs, self.contexts, self.archives):
            folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def clear(self) -> None:
        """Forget the previous job."""
        self._events.unlink(missing_ok=True)
        for folder in (self.logs, self.contexts, self.archives):
            shutil.rmtree(folder)
            folder.mkdir()
        # Archives are fetched without root's rights, whatever root's umask is.
        for folder in (self._folder, self.archives):
            folder.chmod(0o755)

    def unpack(self, name: str, context: str) -> None:
        """Lay out a packed build folder; its files get the time of now.

        BuildKit takes a file of the same size and time for unchanged and would build from what it had.
        """
        folder = self.context(name)
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(context)), mode="r:gz") as archive:
            for member in archive:
                target = (folder / member.name).resolve()
                content = archive.extractfile(member)
                if content is None or not target.is_relative_to(folder.resolve()):
                    raise SlipwayError(f"{member.name} does not belong in a build folder", "Remove it there")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
                target.chmod(member.mode)

    def context(self, name: str) -> Path:
        return self.contexts / name.replace("/", "_")

    def archive(self, item: Item) -> Path:
        return self.archives / f"{item.name}-{item.tag}.tar"

    def tell(self, event: str, **details: Any) -> None:
        line = json.dumps({"event": event, **details})
        with self._writing, self._events.open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")

    def busy(self) -> bool:
        handle = self.open()
        if handle is None:
            return True
        os.close(handle)
        return False

    def events(self, seen: int, patience: float) -> tuple[list[Event], bool]:
        """What happened after the first `seen` events, and whether the job goes on; waits for news."""
        limit = time.monotonic() + patience
        while True:
            going_on = self.busy()
            news = self._read()[seen:]
            if news or not going_on or time.monotonic() > limit:
                return news, going_on
            time.sleep(0.3)  # between two looks

    def _read(self) -> list[Event]:
        if not self._events.exists():
            return []
        lines = self._events.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@dataclass(frozen=True)
class Order:
    """What a job is to do: `items` in any order, the base among them when something stands on it.

    published: what the registry has already. publish: whether to push the rest. archive: image to save.
    """

    items: tuple[Item, ...]
    published: frozenset[str]
    publish: bool
    archive: str | None
    parallel: int


class ImageJob:
    """Builds and publishes in parallel, the base before everything that stands on it."""

    def __init__(self, order: Order, builder: ImageBuilder, workshop: Workshop) -> None:
        self._order = order
        self._builder = builder
        self._workshop = workshop
        self._done = 0
        self._counting = threading.Lock()
        self._failed = threading.Event()

    def work(self) -> None:
        """Do the order and tell how it went; a failure is told, never raised."""
        started = time.monotonic()
        self._workshop.tell("started", total=len(self._order.items))
        try:
            for batch in self._batches():
                self._together(batch)
            self._workshop.tell("finished", seconds=round(time.monotonic() - started, 1))
        except SlipwayError as error:
            self._workshop.tell("failed", problem=error.problem, remedy=error.remedy)
        except Exception:
            self._workshop.tell(
                "failed", problem=traceback.format_exc(), remedy="This is a fault in Slipway: report it"
            )

    def _batches(self) -> list[Sequence[Item]]:
        base = [item for item in self._order.items if item.name == BASE]
        return [base, [item for item in self._order.items if item.name != BASE]]

    def _together(self, items: Sequence[Item]) -> None:
        with ThreadPoolExecutor(max(self._order.parallel, 1)) as pool:
            list(pool.map(self._one, items))

    def _one(self, item: Item) -> None:
        if self._failed.is_set():
            return
        started = time.monotonic()
        try:
            how = self._obtain(item)
            if self._order.publish and item.name not in self._order.published:
                self._builder.publish(item)
            if self._order.archive == item.name:
                self._builder.save(item, self._workshop.archive(item))
        except SlipwayError:
            self._failed.set()
            self._workshop.tell("log", image=item.name, lines=self._builder.last_words(item))
            raise
        seconds, total = round(time.monotonic() - started), len(self._order.items)
        with self._counting:
            self._done += 1
            self._workshop.tell(
                "done", image=item.name, how=how, seconds=seconds, done=self._done, total=total
            )

    def _obtain(self, item: Item) -> str:
        if self._builder.has(item):
            return "had"
        if item.name in self._order.published:
            self._builder.pull(item)
            return "pulled"
        self._workshop.tell("building", image=item.name)
        self._builder.build(item, self._workshop.context(item.name))
        return "built"
