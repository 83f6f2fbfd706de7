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
import http.client
import json
import os
import re
import select
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import textfile
from .textfile import Sample

SETTLED = 5.0
# Seconds between two looks at whether the store is still the same.
CHECK = 1.0
# A batch is sent when it holds so much, or when nothing has come for a moment.
BATCH_BYTES = 1 << 20
QUIET = 0.3
TIMEOUT = 30.0
RETRY = 2.0
# Shorter than the proxy's 75: the side that sends must be the one that closes a connection nobody uses.
IDLE = 30.0
METRICS = 15.0
# The store skips a longer line (256 KB) without a word. A character may take six bytes as JSON.
LONGEST, CLIPPED = 250_000, 30_000
# Lines that the store is asked for: more than it is sent within SETTLED seconds.
MOST = 200_000
# An entry that is larger is no line; holding several of those would take more than the service may have.
LARGEST = 8 << 20
LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
PRIORITIES = {str(number): level for number, level in enumerate(LEVELS)}
# syslog's numbers of logins and of what is done with privileges: LOG_AUTH and LOG_AUTHPRIV.
AUDITED = ("4", "10")
# Under which the engine runs, as journald itself says: no sender can set a field that begins with "_".
ENGINE = "docker.service"
RELEASE = re.compile(r"/releases/([^/]+)/")
STARTED = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
REQUEST = ("request_id", "correlation_id", "x_request_id")
STREAM = "host,component"
STORES = {"logs": "", "audit": "/audit"}

HELP = {
    "slipway_log_lines_total": "counter Lines that the store has taken, since this program runs.",
    "slipway_log_failures_total": "counter Times that the store could not be sent to.",
    "slipway_log_behind_seconds": "gauge Age of the oldest line that the store lacks; 0 if it has all.",
}


class UnavailableError(Exception):
    """The store, or the journal, is away for now."""


@dataclass(frozen=True)
class Settings:
    """name: this host's. host, port: where the store is. tls: folder of this host's certificate."""

    name: str
    host: str
    port: int
    tls: Path

    @classmethod
    def read(cls, file: Path) -> Settings:
        try:
            told = json.loads(file.read_text())
            return cls(str(told["name"]), str(told["host"]), int(told["port"]), file.parent / "tls")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UnavailableError(f"{file} says nothing of a store yet: {error!r}") from error


@dataclass(frozen=True)
class Line:
    """One entry of the journal as the store gets it. moment: seconds since the epoch."""

    cursor: str
    seq: str
    moment: float
    audit: bool
    text: str


@dataclass
class Place:
    """Up to where the store has surely kept everything, and what it took since: (when, cursor, moment)."""

    cursor: str = ""
    moment: float = 0.0
    taken: deque[tuple[float, str, float]] = field(default_factory=deque)

    @classmethod
    def read(cls, file: Path) -> Place:
        try:
            told = json.loads(file.read_text())
            return cls(str(told["cursor"]), float(told["moment"]))
        except (OSError, ValueError, LookupError, TypeError):
            return cls()

    def took(self, line: Line, now: float) -> None:
        self.taken.append((now, line.cursor, line.moment))

    def due(self, now: float) -> bool:
        """Whether anything was taken long enough ago."""
        return bool(self.taken) and now - self.taken[0][0] >= SETTLED

    def settle(self, now: float) -> None:
        while self.due(now):
            _when, self.cursor, self.moment = self.taken.popleft()

    def write(self, file: Path) -> None:
        """Onto the disk: nor does a host that lost its power see half of it."""
        with textfile.replacing(file) as stream:
            stream.write(json.dumps({"cursor": self.cursor, "moment": self.moment}))
            stream.flush()
            os.fsync(stream.fileno())


def line(entry: dict[str, Any], host: str) -> Line:
    """What the store is told of an entry; of one that nobody foresaw as much as can be read of it."""
    try:
        return _line(entry, host)
    except (ValueError, LookupError, TypeError, RecursionError):
        return _plain(entry, host)


def _plain(entry: dict[str, Any], host: str) -> Line:
    said, moment, seq = entry.get("MESSAGE"), str(entry["__REALTIME_TIMESTAMP"]), _seq(entry)
    told = {"_time": moment, "host": host, "source": "host", "component": "host"}
    told["_msg"] = (said[:CLIPPED] if isinstance(said, str) else "") or "(unreadable)"
    told |= {"seq": seq} if seq else {}
    audit = entry.get("SYSLOG_FACILITY") in AUDITED
    return Line(str(entry["__CURSOR"]), seq, int(moment) / 1e6, audit, json.dumps(told))


def _line(entry: dict[str, Any], host: str) -> Line:
    """Who said it, where, of which release, and of which request."""
    said = _text(entry.get("MESSAGE"))
    inner = _object(said)
    told = {"_time": str(entry["__REALTIME_TIMESTAMP"]), "_msg": said or "(empty)", "host": host}
    told |= _of_container(entry) if _engines(entry) else _of_host(entry)
    level = inner.get("level") or inner.get("severity")
    told["level"] = str(level or PRIORITIES.get(_text(entry.get("PRIORITY")), ""))
    told["request_id"] = next((str(inner[key]) for key in REQUEST if inner.get(key)), "")
    told["trace_id"] = str(inner.get("trace_id") or "")
    audit = inner.get("audit") is True or (
        told["source"] == "host" and _text(entry.get("SYSLOG_FACILITY")) in AUDITED
    )
    told["seq"] = _seq(entry)
    told = {key: value for key, value in told.items() if value}
    text = json.dumps(told)
    if len(text) > LONGEST:
        text = json.dumps({**told, "_msg": told["_msg"][:CLIPPED], "clipped": str(len(said))})
    moment = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    return Line(str(entry["__CURSOR"]), _seq(entry), moment, audit, text)


def _seq(entry: dict[str, Any]) -> str:
    """Of this journal: one that is made anew counts from the beginning."""
    number = entry.get("__SEQNUM")
    return f"{str(entry.get('__SEQNUM_ID', ''))[:8]}-{number}" if number else ""


def _engines(entry: dict[str, Any]) -> bool:
    """Whether it is a container's: any user can write a name, and what the engine says itself has none."""
    return bool(entry.get("CONTAINER_NAME")) and entry.get("_SYSTEMD_UNIT") == ENGINE


def _of_container(entry: dict[str, Any]) -> dict[str, str]:
    files = RELEASE.search(_text(entry.get("COM_DOCKER_COMPOSE_PROJECT_CONFIG_FILES")))
    job = _text(entry.get("SLIPWAY_JOB"))
    return {
        "source": "container",
        # A job's container is made for one run and has a name that nobody knows.
        "component": job or _text(entry.get("COM_DOCKER_COMPOSE_SERVICE")) or _text(entry["CONTAINER_NAME"]),
        "container": _text(entry["CONTAINER_NAME"]),
        "service": _text(entry.get("SLIPWAY_SERVICE")),
        "pool": _text(entry.get("SLIPWAY_POOL")),
        "replica": _text(entry.get("SLIPWAY_REPLICA")),
        "job": job,
        "release": files[1] if files else "",
    }


def _of_host(entry: dict[str, Any]) -> dict[str, str]:
    identifier, unit = _text(entry.get("SYSLOG_IDENTIFIER")), _text(entry.get("_SYSTEMD_UNIT"))
    own = unit.removesuffix(".service") if unit.endswith(".service") else ""
    return {
        "source": "host",
        # Whatever a user does belongs to the program that says it, not to his session.
        "component": (own if own and not own.startswith("user@") else identifier) or "host",
        "unit": unit,
        "identifier": identifier,
        "pid": _text(entry.get("_PID")),
    }


def _text(value: Any) -> str:
    """A field as text: bytes that are no UTF-8 come as numbers, fields that are there twice as a list."""
    if isinstance(value, list):
        if value and all(isinstance(one, int) for one in value):
            return bytes(value).decode(errors="replace")
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _object(said: str) -> dict[str, Any]:
    if not said.startswith("{") or len(said) > BATCH_BYTES:
        return {}
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


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


class Store:
    """The store behind its proxy, which asks for this host's certificate."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.name
        try:
            context = ssl.create_default_context(cafile=str(settings.tls / "ca.crt"))
            context.load_cert_chain(settings.tls / "tls.crt", settings.tls / "tls.key")
        except OSError as error:  # ssl's own errors are among them
            raise UnavailableError(f"no certificate to show: {error}") from error
        self._client = http.client.HTTPSConnection(
            settings.host, settings.port, timeout=TIMEOUT, context=context
        )
        self._used = time.monotonic()

    def send(self, store: str, lines: Sequence[Line]) -> None:
        """Returns when the store has taken all of them."""
        asked = urllib.parse.urlencode({"_stream_fields": STREAM})
        body = "".join(f"{one.text}\n" for one in lines).encode()
        self._ask(f"{STORES[store]}/insert/jsonline?{asked}", body, "application/stream+json")

    def kept(self, store: str, since: float) -> set[str]:
        """Numbers of this host's lines that the store has, from a moment on."""
        begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(since - 1, 0)))
        query = f"_time:>={begin} host:={json.dumps(self._name)} seq:* | limit {MOST} | fields seq"
        body = urllib.parse.urlencode({"query": query}).encode()
        answer = self._ask(f"{STORES[store]}/select/logsql/query", body, "application/x-www-form-urlencoded")
        return {str(json.loads(row)["seq"]) for row in answer.splitlines() if row.strip()}

    def started(self) -> list[str]:
        """When the stores' processes began: by another answer one has lost what it had in memory."""
        told = [self._ask(f"{path}/metrics").decode(errors="replace") for path in STORES.values()]
        return [moment for one in told for moment in STARTED.findall(one)]

    def close(self) -> None:
        self._client.close()

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        if time.monotonic() - self._used > IDLE:
            self._client.close()  # it is opened again by itself
        try:
            headers = {"Content-Type": kind} if body else {}
            self._client.request("POST" if body else "GET", path, body, headers)
            answer = self._client.getresponse()
            told = answer.read()
            self._used = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self._client.close()
            raise UnavailableError(f"the store does not answer: {error!r}") from error
        if answer.status not in (http.client.OK, http.client.NO_CONTENT):
            raise UnavailableError(f"the store answers {answer.status}: {told[:200]!r}")
        return told


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
