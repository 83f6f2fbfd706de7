"""Hold a release at a gate: look again and again until something is clearly wrong or the time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import SlipwayError
from ..stack.model_rollout import GateQuery, Gates
from .judging import FAIL, INCONCLUSIVE, PASS, SKIPPED, Finding, Judgement, Sample
from .server_watch import Alarm

POLL = 1.0
# Seconds for which a single look must alarm: a router that was late, a replica that paused, is asked again.
CERTAIN = 3.0

# Something else to be looked at every second: the routers' servers, a synthetic probe of the new pool.
Look = Callable[[], Sequence[Alarm]]


@dataclass(frozen=True)
class Watched:
    """One service at the gate.

    old: the pool to compare with, None for none. servers: HAProxy's names of all the new pool has, of which
    `expected` must be up from the beginning. inconclusive: "proceed" or "rollback".
    """

    service: str
    new: str
    old: str | None
    gates: Gates
    servers: tuple[str, ...]
    expected: tuple[str, ...]
    inconclusive: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Watched:
        gates = dict(values["gates"])
        queries = tuple(GateQuery(**query) for query in gates.pop("queries"))
        return cls(
            service=str(values["service"]),
            new=str(values["new"]),
            old=values.get("old"),
            gates=Gates(**gates, queries=queries),
            servers=tuple(values["servers"]),
            expected=tuple(values["expected"]),
            inconclusive=str(values["inconclusive"]),
        )


@dataclass(frozen=True)
class Judged:
    """One service's judgement and what it rests on. `unanswered`: requests that no replica answered."""

    judgement: Judgement
    new: Sample
    old: Sample | None
    unanswered: Sample


Measure = Callable[[], Mapping[str, Judged]]


@dataclass(frozen=True)
class Outcome:
    """What the gate came to. `refused`: why the release must not go on, empty when it may."""

    judged: Mapping[str, Judged]
    alarms: tuple[Alarm, ...]
    refused: tuple[str, ...]
    remedy: str
    seconds: float

    @property
    def verdict(self) -> str:
        verdicts = [judged.judgement.verdict for judged in self.judged.values()]
        if self.alarms or FAIL in verdicts:
            return FAIL
        return INCONCLUSIVE if INCONCLUSIVE in verdicts else PASS


def watch(
    services: Sequence[Watched],
    measure: Measure,
    looks: Sequence[Look],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Look every second for `seconds` (0: once, and again while that alarms, until it is CERTAIN).

    Ends at once with an alarm or a clear failure. Looks and measurements run side by side, so that a slow one
    does not hold up the others.
    """
    begun, looked = clock(), 0
    with ThreadPoolExecutor(len(looks) + 1) as pool:
        while True:
            started, looked = clock(), looked + 1
            asked = [pool.submit(look) for look in looks]
            judged = measure()
            alarms = tuple(alarm for one in asked for alarm in one.result())
            spent = clock() - begun
            alarmed = alarms and (seconds or (looked > 1 and spent >= CERTAIN))
            over = not alarms and spent >= seconds
            if alarmed or over or any(one.judgement.clear for one in judged.values()):
                return _outcome(services, judged, alarms, spent)
            sleep(max(min(started + POLL, begun + (seconds or CERTAIN)) - clock(), 0.0))


def _outcome(
    services: Sequence[Watched], judged: Mapping[str, Judged], alarms: tuple[Alarm, ...], seconds: float
) -> Outcome:
    refused = [f"{alarm.service}: {alarm.problem}" if alarm.service else alarm.problem for alarm in alarms]
    remedies = [alarm.remedy for alarm in alarms]
    for one in services:
        judgement = judged[one.service].judgement
        findings = [finding for finding in judgement.findings if finding.verdict == judgement.verdict]
        said = "; ".join(f"{finding.gate}: {finding.sentence}" for finding in findings)
        if judgement.verdict == FAIL:
            refused.append(f"{one.service} ({one.new}) failed its gate {said}")
            remedies.append(
                f"Read the logs of {one.service}-{one.new}-*, correct the release and deploy again"
            )
        elif judgement.verdict == INCONCLUSIVE and one.inconclusive == "rollback":
            refused.append(f"{one.service} ({one.new}) could not be judged: {said or 'nothing was measured'}")
            remedies.append(
                "Give it more traffic or time (`pause`), lower `minimum_requests`, or let the strategy "
                "proceed when a verdict is inconclusive"
            )
    return Outcome(judged, alarms, tuple(refused), "; ".join(dict.fromkeys(remedies)), seconds)


def only_queries(gates: Gates) -> Gates:
    """What can be judged without counting requests: memory, and the user's own queries."""
    return replace(gates, errors=100, errors_above_old=100, p95=None, p99=None, slower_than_old=None)


def filled(query: str, service: str, pool: str) -> str:
    return query.replace("$service", service).replace("$pool", pool)


def queried(ask: Callable[[str], float | None], one: Watched) -> tuple[dict[str, float | None], list[str]]:
    """Values of a service's own queries, and why some have none."""
    values: dict[str, float | None] = {}
    faults = []
    for query in one.gates.queries:
        try:
            values[query.name] = ask(filled(query.query, one.service, one.new))
        except SlipwayError as error:
            values[query.name] = None
            faults.append(error.problem)
    return values, faults


def doubted(judgement: Judgement, reasons: Sequence[str]) -> Judgement:
    """A judgement that rests on numbers which are missing or old: still a failure, but no longer a pass."""
    if not reasons:
        return judgement
    finding = Finding("metrics", None, 0.0, INCONCLUSIVE, "; ".join(reasons))
    verdict = FAIL if judgement.verdict == FAIL else INCONCLUSIVE
    return Judgement(verdict, (*judgement.findings, finding))


def noted(judgement: Judgement, unseen: Sequence[str]) -> Judgement:
    """A judgement with a word on the edge hosts whose requests it does not know."""
    if not unseen:
        return judgement
    said = f"requests through {', '.join(unseen)} are not counted"
    return replace(judgement, findings=(*judgement.findings, Finding("metrics", None, 0.0, SKIPPED, said)))


def report(outcome: Outcome) -> dict[str, Any]:
    """The outcome as a module returns it."""
    return {
        "verdict": outcome.verdict,
        "seconds": round(outcome.seconds, 1),
        "alarms": [asdict(alarm) for alarm in outcome.alarms],
        "services": {name: _service(judged) for name, judged in outcome.judged.items()},
        "lines": [line for name, judged in outcome.judged.items() for line in _lines(name, judged)]
        + [alarm.problem for alarm in outcome.alarms],
    }


def _service(judged: Judged) -> dict[str, Any]:
    return {
        "verdict": judged.judgement.verdict,
        "findings": [asdict(finding) for finding in judged.judgement.findings],
        "new": _sample(judged.new),
        "old": _sample(judged.old) if judged.old else None,
        "unanswered": _sample(judged.unanswered),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "requests": sample.requests,
        "errors": sample.errors,
        "p95": None if sample.p95 is None or math.isinf(sample.p95) else round(sample.p95, 4),
        "p99": None if sample.p99 is None or math.isinf(sample.p99) else round(sample.p99, 4),
    }


def _lines(name: str, judged: Judged) -> list[str]:
    return [
        f"{name} {finding.gate}: {finding.verdict}, {finding.sentence}"
        for finding in judged.judgement.findings
    ] or [f"{name}: {judged.judgement.verdict}, no gate to judge it by"]
