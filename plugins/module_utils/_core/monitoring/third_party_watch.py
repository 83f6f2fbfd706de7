"""Ask the third parties that a stack lists; tell the monitoring how they fare and what limits leave.

Runs on the monitoring hosts as the service `slipway-third-parties`. The list is a part of the release that
serves, and is read again each round: a deployment or a rollback needs no restart. Answers are written for the
textfile collector of node-exporter. Proxies come from the environment, trust from the host's own CA bundle.
Needs nothing but Python.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

from .. import textfile
from ..asking import fault, patience, trust
from ..textfile import Sample

SECONDS = 5
AT_ONCE = 16
# Who asks for more patience than this is asked again all the same.
MOST_PATIENCE = 3600.0
OK, LIMITED, FAILED = "ok", "limited", "failed"
TOO_MANY = 429
# Names of headers in use, the standard's drafts first.
REMAINING = ("RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining")
LIMIT = ("RateLimit-Limit", "X-RateLimit-Limit", "X-Rate-Limit-Limit")
# `RateLimit: limit=100, remaining=50` of one draft, `RateLimit: "default";r=50` of a later one.
IN_ONE = {
    REMAINING: r"\b(?:remaining|r)=(\d{1,15})\b",
    LIMIT: r"\blimit=(\d{1,15})\b",
}

HELP = {
    "slipway_third_party_up": "gauge 1 when the last answer was the expected one.",
    "slipway_third_party_status": "gauge HTTP status of the last answer; 0 when there was none.",
    "slipway_third_party_seconds": "gauge Time until the last answer, or until it was given up.",
    "slipway_third_party_slow_seconds": "gauge Time from which an answer is slow, as the stack says.",
    "slipway_third_party_failures_in_a_row": "gauge Failures since the last answer that was none.",
    "slipway_third_party_slow_in_a_row": "gauge Slow answers since the last that was not.",
    "slipway_third_party_asked_total": "counter Requests sent, by what came of them.",
    "slipway_third_party_limited": "gauge 1 when the last answer was 429, or says that no request is left.",
    "slipway_third_party_limit": "gauge Requests in a window, as the last answer says.",
    "slipway_third_party_remaining": "gauge Requests left in this window, as the last answer says.",
    "slipway_third_party_few": "gauge Requests left below which the stack wants a warning.",
    "slipway_third_party_retry_after_seconds": "gauge Time to wait, as the last answer says.",
}


@dataclass(frozen=True)
class Party:
    """As the release lists it. every: seconds; within, slow: milliseconds; authorization: a file's name."""

    url: str
    method: str
    expect: int
    every: int
    within: int
    slow: int
    few: int | None
    authorization: str | None


@dataclass(frozen=True)
class Answer:
    """outcome: OK, LIMITED or FAILED. status: 0 for none. fault: what was wrong, for a reader."""

    outcome: str
    status: int
    seconds: float
    fault: str = ""
    limit: int | None = None
    remaining: int | None = None
    retry_after: float | None = None

    @property
    def limited(self) -> bool:
        return self.outcome == LIMITED or self.remaining == 0


class InTime(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Until the head of the answer is there: a socket's own timeout starts anew with every byte."""

    def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        done, over = threading.Event(), threading.Event()

        def connection(*place: Any, **how: Any) -> http.client.HTTPConnection:
            made: http.client.HTTPConnection = http_class(*place, **how)
            threading.Thread(target=cut, args=(made, req.timeout, done, over), daemon=True).start()
            return made

        try:
            return super().do_open(connection, req, **http_conn_args)
        except (OSError, http.client.HTTPException) as error:
            if over.is_set():
                raise TimeoutError from error
            raise
        finally:
            done.set()


def cut(
    connection: http.client.HTTPConnection, seconds: float, done: threading.Event, over: threading.Event
) -> None:
    """Again and again: when the time is over for the first time, it may have no socket yet."""
    while not done.wait(seconds):
        if stream := connection.sock:
            over.set()
            with contextlib.suppress(OSError):
                # Not the method of an SSL socket: it would drop the TLS state under the reader's feet.
                socket.socket.shutdown(stream, socket.SHUT_RDWR)


class AsItIs(urllib.request.HTTPErrorProcessor):
    """Any status is an answer, and no redirect is followed: a secret goes where the stack says, only."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


def ask(party: Party, secrets: Path) -> Answer:
    """One request. Only the head of the answer is read."""
    opener = urllib.request.build_opener(InTime(context=trust()), AsItIs())
    begun = time.monotonic()
    try:
        request = urllib.request.Request(party.url, method=party.method, headers={"User-Agent": "slipway"})
        if party.authorization:
            request.add_header("Authorization", _secret(secrets / party.authorization))
        with opener.open(request, timeout=party.within / 1000) as told:
            return judged(party, told.status, told.headers, time.monotonic() - begun)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(FAILED, 0, time.monotonic() - begun, fault(error))


def _secret(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def judged(party: Party, status: int, headers: Message, seconds: float) -> Answer:
    outcome, said = OK, ""
    if status == TOO_MANY:
        outcome, said = LIMITED, "it answered 429: too many requests"
    elif status != party.expect:
        outcome, said = FAILED, f"it answered {status}, expected {party.expect}"
    elif seconds * 1000 > party.within:
        outcome, said = FAILED, f"it answered after {seconds:.1f} s"
    left, limit = number(headers, REMAINING), number(headers, LIMIT)
    return Answer(outcome, status, seconds, said, limit, left, patience(headers.get("Retry-After")))


def number(headers: Message, names: tuple[str, str, str]) -> int | None:
    """The least of what the first of these headers says: there may be windows of several lengths."""
    for name in names:
        found = re.findall(r"(?:^|,)\s*(\d{1,15})\b", ",".join(headers.get_all(name, [])))
        if found:
            return min(map(int, found))
    found = re.findall(IN_ONE[names], ",".join(headers.get_all("RateLimit", [])))
    return min(map(int, found)) if found else None


@dataclass
class Standing:
    """How one fares since the program began, or since the stack said something else of it."""

    party: Party
    counts: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    slow: int = 0
    last: Answer | None = None
    begun: float = 0.0
    due: float = 0.0
    asked: Future[Answer] | None = None

    def note(self, answer: Answer, now: float) -> str:
        """Remember it; what is worth a line in the journal."""
        before = self.last.fault if self.last else ""
        self.last = answer
        self.counts[answer.outcome] += 1
        self.failures = self.failures + 1 if answer.outcome == FAILED else 0
        late = answer.outcome == OK and answer.seconds * 1000 > self.party.slow
        self.slow = self.slow + 1 if late else 0
        wished = min(answer.retry_after or 0.0, MOST_PATIENCE) if answer.outcome == LIMITED else 0.0
        self.due = max(self.begun + self.party.every, now + wished)
        if answer.fault == before:
            return ""
        return answer.fault or "it answers as expected again"


class Watch:
    """All parties of the release below `current`."""

    def __init__(self, current: Path) -> None:
        self._folder = current / "config/host/third-parties"
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self.standings: dict[str, Standing] = {}

    def turn(self, now: float) -> None:
        """Ask who is due, note who has answered; waits for nobody."""
        listed = parties(self._folder / "list.json")
        known = self.standings
        self.standings = {
            name: known[name] if name in known and known[name].party == party else Standing(party)
            for name, party in listed.items()
        }
        for name, one in self.standings.items():
            if one.asked and one.asked.done():
                if line := one.note(one.asked.result(), now):
                    print(f"{name}: {line}", file=sys.stderr, flush=True)
                one.asked = None
            if not one.asked and now >= one.due:
                one.begun = now
                one.asked = self._pool.submit(ask, one.party, self._folder / "secrets")


def parties(file: Path) -> dict[str, Party]:
    """Nobody, where no release is there yet or it lists none."""
    try:
        listed: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: Party(**one) for name, one in listed.items()}


def samples(standings: Mapping[str, Standing]) -> Iterator[Sample]:
    for name, one in standings.items():
        labels, party, last = f'third_party="{name}"', one.party, one.last
        yield "slipway_third_party_slow_seconds", labels, party.slow / 1000
        if party.few is not None:
            yield "slipway_third_party_few", labels, party.few
        for outcome in (OK, LIMITED, FAILED):
            # Also what has not happened: a counter that begins at its first event hides that event.
            yield "slipway_third_party_asked_total", f'{labels},outcome="{outcome}"', one.counts[outcome]
        if last is None:
            continue
        yield "slipway_third_party_up", labels, int(last.outcome == OK)
        yield "slipway_third_party_status", labels, last.status
        yield "slipway_third_party_seconds", labels, round(last.seconds, 4)
        yield "slipway_third_party_failures_in_a_row", labels, one.failures
        yield "slipway_third_party_slow_in_a_row", labels, one.slow
        yield "slipway_third_party_limited", labels, int(last.limited)
        told = {"limit": last.limit, "remaining": last.remaining, "retry_after_seconds": last.retry_after}
        for what, value in told.items():
            if value is not None:
                yield f"slipway_third_party_{what}", labels, value


def text(standings: Mapping[str, Standing]) -> str:
    return textfile.text(samples(standings), HELP)


def main(current: Path, folder: Path) -> None:
    watch = Watch(current)
    while True:
        watch.turn(time.monotonic())
        textfile.write(folder / "third_parties.prom", text(watch.standings))
        time.sleep(SECONDS)  # between two turns; who is due then is asked
