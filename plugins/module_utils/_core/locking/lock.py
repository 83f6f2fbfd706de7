"""The environment's lock as one host keeps it: a file that says who is at work and shows signs of life.

A sign of life is a counter, stamped with this host's time since boot: neither a clock that is set nor the
clocks of two hosts that differ can make a lock look older or younger than it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ..errors import SlipwayError
from ..tree import File, write_file

LOCK_FILE = "state/lock.json"
BEAT = 2.0
SILENCE = 30
_GUARD_PATIENCE = 10.0
_GUARD_POLL = 0.02


@dataclass(frozen=True)
class Claim:
    """Who holds the lock, and for what.

    run: id of the run; process: identity of its process on the control node, "" where it has none.
    begun: ISO 8601, UTC. silence: seconds without a sign of life after which the lock is dead.
    """

    run: str
    owner: str
    control: str
    pid: int
    process: str
    what: str
    release: str
    begun: str
    silence: int = SILENCE

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Claim:
        return cls(
            run=str(values["run"]),
            owner=str(values["owner"]),
            control=str(values["control"]),
            pid=int(values["pid"]),
            process=str(values["process"]),
            what=str(values["what"]),
            release=str(values["release"]),
            begun=str(values["begun"]),
            silence=int(values["silence"]),
        )


@dataclass(frozen=True)
class Seen:
    """A lock as found on a host: its signs of life so far, and the seconds since the last one.

    turn: how many runs have held this host's copy, this one included.
    """

    claim: Claim
    beat: int
    silent: float
    turn: int = 0

    def to_dict(self) -> dict[str, Any]:
        silent = round(self.silent, 1)
        return {**asdict(self.claim), "beat": self.beat, "silent": silent, "turn": self.turn}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Seen:
        turn = int(values.get("turn", 0))
        return cls(Claim.from_dict(values), int(values["beat"]), float(values["silent"]), turn)


@dataclass(frozen=True)
class Uptime:
    """A moment of one host: which boot, and seconds since then, those asleep included."""

    boot: str
    seconds: float

    def since(self, boot: str, seconds: float) -> float:
        """Seconds since another moment of this host; one of an earlier boot is at least as old as this."""
        return max(self.seconds - seconds, 0.0) if boot == self.boot else self.seconds


def uptime() -> Uptime:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Uptime(boot, time.clock_gettime(time.CLOCK_BOOTTIME))


class LockFile:
    """One host's copy of the lock. Every change is made under a kernel lock and by rename."""

    def __init__(self, path: Path, now: Callable[[], Uptime] = uptime) -> None:
        self._path = path
        self._guard = path.with_suffix(".guard")
        self._now = now

    def read(self) -> Seen | None:
        """Who holds the lock; None when nobody does, or when a power cut left no content of the file."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(self._path.read_text(encoding="utf-8"))
            silent = self._now().since(str(values["boot"]), float(values["seconds"]))
            return Seen(Claim.from_dict(values), int(values["beat"]), silent, int(values.get("turn", 0)))
        return None

    def next_turn(self) -> int:
        """The turn of the next to take the lock; 0 while somebody holds it, who may yet change the host."""
        # Looking must not make files: a dry run looks, too.
        if not self._guard.exists():
            return 1
        with self._guarded() as guard:
            return 0 if self.read() else _turns(guard) + 1

    def ask(self, claim: Claim) -> Seen | None:
        """Who holds the lock; where it is the asker, the claim is brought up to date, a sign of life."""
        with self._guarded():
            found = self.read()
            if found and found.claim.run == claim.run:
                self._write(claim, found.beat + 1, found.turn)
                return self.read()
            return found

    def take(self, claim: Claim, over: Mapping[str, int]) -> Seen | None:
        """Take the lock where it is free, or held by a dead run; return who holds it now.

        over: dead runs, each with the last sign of life that was seen of it here. One that has given
        another since is not dead.
        """
        with self._guarded() as guard:
            found = self.read()
            if found and found.claim.run == claim.run:
                self._write(claim, found.beat + 1, found.turn)
            elif found is None or over.get(found.claim.run) == found.beat:
                self._write(claim, found.beat + 1 if found else 1, _another_turn(guard))
            return self.read()

    def renew(self, run: str) -> bool:
        """Give a sign of life; False where that run does not hold the lock (any longer)."""
        with self._guarded():
            found = self.read()
            if found is None or found.claim.run != run:
                return False
            self._write(found.claim, found.beat + 1, found.turn)
            return True

    def release(self, run: str) -> bool:
        """Give the lock back; False where that run does not hold it."""
        with self._guarded():
            found = self.read()
            if found is None or found.claim.run != run:
                return False
            self._path.unlink()
            return True

    def _write(self, claim: Claim, beat: int, turn: int) -> None:
        now = self._now()
        values = {**asdict(claim), "beat": beat, "turn": turn, "boot": now.boot, "seconds": now.seconds}
        write_file(self._path, File(self._path.name, json.dumps(values, indent=1), 0o644, os.geteuid()))

    @contextmanager
    def _guarded(self) -> Iterator[int]:
        """The guard's descriptor. It also counts the turns, since the lock's own file comes and goes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A file of its own, never renamed or removed: a lock on a name that is replaced excludes nobody.
        handle = os.open(self._guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _exclude_others(handle, self._path)
            yield handle
        finally:
            os.close(handle)


def _turns(guard: int) -> int:
    told = os.pread(guard, 20, 0)
    return int(told) if told.isdigit() else 0


def _another_turn(guard: int) -> int:
    turn = _turns(guard) + 1
    os.pwrite(guard, str(turn).encode("ascii"), 0)
    return turn


def _exclude_others(handle: int, path: Path) -> None:
    limit = time.monotonic() + _GUARD_PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= limit:
                raise SlipwayError(
                    f"{path} is kept busy by another process of this host",
                    f"Look at `fuser -v {path.with_suffix('.guard')}`; a stopped process must go on or end",
                ) from None
            time.sleep(_GUARD_POLL)  # between two attempts


@contextmanager
def alive(path: Path, run: str, every: float = BEAT) -> Iterator[None]:
    """Give signs of life while a module of the run is at work on this host.

    path: the host's lock file. A run that does not hold the lock (any longer) is refused before it begins;
    a run without an id, which takes no lock, is let through.
    """
    if not run:
        yield
        return
    lock = LockFile(path)
    if not lock.renew(run):
        raise _lost(lock.read())
    ended = Event()
    heart = Thread(target=_beat, args=(lock, run, every, ended), name="slipway-lock", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()


def sign_of_life(path: Path, run: str) -> None:
    """One, of a run that only looks at what it has begun: a full disk must not end that.

    A run that does not hold the lock (any longer) is refused.
    """
    lock = LockFile(path)
    try:
        held = lock.renew(run)
    except (SlipwayError, OSError):
        return
    if not held:
        raise _lost(lock.read())


@contextmanager
def alive_if_held(path: Path, run: str, every: float = BEAT) -> Iterator[None]:
    """The same for what may also be done without the lock: signs of life where the run holds it."""
    held = bool(run) and LockFile(path).renew(run)
    with alive(path, run if held else "", every):
        yield


def _beat(lock: LockFile, run: str, every: float, ended: Event) -> None:
    held = True
    while held and not ended.wait(every):
        # A full disk must not end what is at work; the lock goes silent, and whoever takes it says so.
        with suppress(SlipwayError, OSError):
            held = lock.renew(run)


def _lost(holder: Seen | None) -> SlipwayError:
    by = f"; {holder.claim.owner}@{holder.claim.control} holds it now" if holder else ""
    return SlipwayError(
        f"this run does not hold the environment's lock (any longer){by}",
        "Somebody broke it, or took it over after this run had been silent too long. "
        "See what runs (playbooks/status.yml), then start again",
    )
