"""Ask new replicas through the real edge: nginx over TLS, the router behind it, the replica that is named."""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any

from ..checks import grpc_health
from ..errors import SlipwayError
from ..routing.router import Router, client_context
from ..transport import Place, Trust, connection, request
from .edge_probe import ACCIDENT, TRIES, Edge, Probed, Question, Try, judge, questions, summary
from .server_watch import Alarm

WORKERS = 8
# nginx's answer to a name that it does not serve.
NOT_OURS = 421
REMEDY = "Read that replica's log, correct the release or the probe, and deploy again"


class EdgeRouter(Router):
    """An edge host's router, asked what it knows of probes."""

    def takes(self, secret: str) -> str | None:
        """The fingerprint of its edge's certificate, if it takes probes with this secret."""
        told = re.search(r"value=<(\w+) (\w+)>", self._command("get var proc.slipway_probes"))
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return told[2] if told and secret and told[1] == digest else None


@dataclass(frozen=True)
class Door:
    """A way in: an edge host, its certificate's fingerprint, and whether servers its router knows are up."""

    edge: Edge
    fingerprint: str
    up: Mapping[str, bool]


@dataclass
class Report:
    """What probing came to. `faults`: reasons to go back. `unasked`: what could not be asked; no fault."""

    asked: dict[Question, list[Try]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)


class EdgeProber:
    """Knows the edge hosts, the secret that lets a request choose its replica, and the pools to probe."""

    def __init__(
        self, edges: Sequence[Edge], subjects: Sequence[Probed], secret: str, context: ssl.SSLContext
    ) -> None:
        self._edges = edges
        self._subjects = subjects
        self._secret = secret
        self._context = context

    def lines(self, report: Report) -> list[str]:
        return [summary(one, report.asked) for one in self._subjects] + report.unasked

    def probe(self) -> Report:
        """Every question of every replica through every edge host, a few times; ends with the first fault."""
        report, over = Report(), Event()
        asking = [question for door in self._doors(report) for question in self._through(door)]
        with ThreadPoolExecutor(WORKERS) as pool:
            for question, tries in pool.map(lambda it: (it[1], self._thrice(it[0], it[1], over)), asking):
                _note(report, question, tries, ACCIDENT)
        return report

    def look(self, turn: int) -> Report:
        """One question of each pool through each edge host, the next one each turn.

        It fails only if every try does: the rates of a pool with traffic are judged by what the edge counts.
        """
        report = Report()
        doors = self._doors(report)
        report.faults.clear()  # a silent router is the server watch's concern, and has a moment to come back
        for door in doors:
            up = [server for server, is_up in door.up.items() if is_up]
            for subject in self._subjects:
                asking = list(questions(door.edge, [subject], up))
                if asking:
                    question = asking[turn % len(asking)]
                    _note(report, question, self._until_right(door, question), TRIES - 1)
        return report

    def _doors(self, report: Report) -> list[Door]:
        """The edge hosts that take probes: what a release changes in the edge comes after the services."""
        doors = []
        with ThreadPoolExecutor(max(len(self._edges), 1)) as pool:
            for edge, found in zip(self._edges, pool.map(self._door, self._edges), strict=True):
                if isinstance(found, SlipwayError):
                    report.faults.append(found.problem)
                elif found is None:
                    report.unasked.append(
                        f"not probed through {edge.name}: its router does not take probes yet"
                    )
                else:
                    doors.append(found)
        return doors

    def _door(self, edge: Edge) -> Door | None | SlipwayError:
        router = EdgeRouter(edge.router, self._context)
        try:
            fingerprint = router.takes(self._secret)
            if fingerprint is None:
                return None
            known = router.servers()
        except SlipwayError as error:
            return error
        return Door(edge, fingerprint, {name: not it.status.startswith("DOWN") for name, it in known.items()})

    def _through(self, door: Door) -> list[tuple[Door, Question]]:
        return [(door, question) for question in questions(door.edge, self._subjects, list(door.up))]

    def _thrice(self, door: Door, question: Question, over: Event) -> list[Try]:
        tries: list[Try] = []
        while len(tries) < TRIES and not over.is_set():
            tries.append(self._try(door, question))
            if _bad(tries) > ACCIDENT:
                over.set()
        return tries

    def _until_right(self, door: Door, question: Question) -> list[Try]:
        tries: list[Try] = []
        while len(tries) < TRIES and _bad(tries) == len(tries):
            tries.append(self._try(door, question))
        return tries

    def _try(self, door: Door, question: Question) -> Try:
        begun = time.monotonic()
        ask = self._grpc if question.subject.grpc else self._http
        try:
            fault, foreign = ask(door, question)
        except TimeoutError:
            fault, foreign = question.silent(f"not within {question.seconds:g} s"), ""
        except ConnectionRefusedError as error:
            told, name = question.silent(str(error)), question.edge.name
            fault, foreign = ("", f"{name}'s edge does not run yet") if question.edge.to_come else (told, "")
        except (OSError, ValueError, EOFError, HTTPException) as error:
            fault, foreign = question.silent(str(error) or type(error).__name__), ""
        return Try(time.monotonic() - begun, fault, foreign)

    def _http(self, door: Door, question: Question) -> tuple[str, str]:
        headers = {**self._headers(question), "User-Agent": "slipway-probe"}
        place, authority = self._place(door, question), question.subject.authority
        reply = request(place, question.probe.path, authority, question.seconds, headers)
        by = reply.headers.get("x-slipway-probe", "")
        if not by and reply.status == NOT_OURS:
            return "", f"{question.edge.name}'s edge does not serve {question.subject.domain} yet"
        if by != question.replica:
            who = f"{by} answered" if by else f"the edge itself answered {reply.status}"
            return question.silent(f"{who} in its place"), ""
        return judge(question, reply.status, reply.body), ""

    def _grpc(self, door: Door, question: Question) -> tuple[str, str]:
        subject = question.subject
        call = grpc_health.Call(subject.route, secure=True, headers=self._headers(question))
        with connection(self._place(door, question, "h2"), question.seconds) as stream:
            try:
                state = grpc_health.check(stream, subject.authority, question.probe.path, call)
            except grpc_health.GrpcError as error:
                if str(error) == f"HTTP status {NOT_OURS}":
                    return "", f"{question.edge.name}'s edge does not serve {subject.domain} yet"
                raise
        return ("" if state == "SERVING" else question.answered(state, "SERVING")), ""

    def _headers(self, question: Question) -> dict[str, str]:
        return {"X-Slipway-Probe": self._secret, "X-Slipway-Server": question.replica}

    def _place(self, door: Door, question: Question, protocol: str | None = None) -> Place:
        edge, trust = door.edge, Trust(fingerprint=door.fingerprint)
        return Place(edge.address, edge.port, trust, question.subject.domain, protocol)


def prober(
    root: Path, edges: Sequence[Mapping[str, Any]], subjects: Sequence[Mapping[str, Any]], secret: str
) -> EdgeProber:
    """From JSON; `root`: of the stack on this host, whose certificate routers want to see."""
    known = [Edge.from_dict(edge) for edge in edges]
    return EdgeProber(
        known, [Probed.from_dict(it) for it in subjects], secret, client_context(root / "config/host/tls")
    )


def watching(prober: EdgeProber, pool: ThreadPoolExecutor) -> Callable[[], Sequence[Alarm]]:
    """A look for the gate. It never waits: a slow answer must not hold up what else is looked at."""
    running: Future[Report] | None = None
    turn = 0

    def look() -> Sequence[Alarm]:
        nonlocal running, turn
        alarms: list[Alarm] = []
        if running is not None and running.done():
            alarms = [Alarm("", "probes", fault, REMEDY) for fault in running.result().faults]
            running = None
        if running is None:
            running, turn = pool.submit(partial(prober.look, turn)), turn + 1
        return alarms

    return look


def _bad(tries: Sequence[Try]) -> int:
    return sum(bool(one.fault) for one in tries)


def _note(report: Report, question: Question, tries: list[Try], accidents: int) -> None:
    foreign = {one.foreign: None for one in tries if one.foreign}
    if foreign:
        report.unasked += [told for told in foreign if told not in report.unasked]
    elif tries:
        report.asked[question] = tries
    if _bad(tries) > accidents:
        report.faults.append(next(one.fault for one in reversed(tries) if one.fault))
