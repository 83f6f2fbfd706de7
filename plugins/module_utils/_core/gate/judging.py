"""Whether a new pool of a service does well enough: against thresholds, and against the old pool; pure.

Every gate asks the same: how many requests were bad (failed, or slower than a limit), and what share may be?
One bad request is an accident. A share above the limit fails a pool that has had its minimum of requests;
before that, and before the time is up, only what chance does not explain does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..stack.model_rollout import Gates
from .chances import at_least, fraction_above

PASS, SKIPPED, INCONCLUSIVE, FAIL = "pass", "skipped", "inconclusive", "fail"
_RANK = {PASS: 0, SKIPPED: 0, INCONCLUSIVE: 1, FAIL: 2}

# Of a hundred pools that are just within a limit, fewer than one looks as bad as what is called clear.
UNLIKELY = 0.01
ACCIDENT = 1
ALL_OF_THE_FIRST = 5
# The first answers of a pool that has just started are slow; so many are not the first any more.
WARM_UP = 10
# Seconds. The edge's finest bucket: below it, two pools cannot be told apart.
RESOLUTION = 0.005


@dataclass(frozen=True)
class Sample:
    """What one pool did in a window.

    requests: all that its replicas answered; errors: those with 5xx. p95, p99: seconds, None without any.
    buckets: (upper bound in seconds, requests up to it), rising, the last bound infinite; empty: not known.
    """

    requests: int
    errors: int
    p95: float | None = None
    p99: float | None = None
    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def timed(self) -> int:
        """Requests whose time is known; a WebSocket's is not."""
        return int(self.buckets[-1][1]) if self.buckets else self.requests

    def slower_than(self, seconds: float) -> int | None:
        """Requests that took longer, interpolated like the percentiles; None where no buckets are known."""
        if not self.buckets:
            return None
        return math.floor(self.timed * fraction_above(self.buckets, seconds) + 1e-6)


@dataclass(frozen=True)
class Finding:
    """What one gate came to. `observed` and `limit` in percent, seconds, times, or the query's own unit.

    clear: a failure that more requests would not undo: there is no point in waiting for the end of the time.
    """

    gate: str
    observed: float | None
    limit: float
    verdict: str
    sentence: str
    clear: bool = False


@dataclass(frozen=True)
class Judgement:
    """The worst of all findings. Nothing to judge is a pass; nothing that could be judged is inconclusive."""

    verdict: str
    findings: tuple[Finding, ...]

    @property
    def clear(self) -> bool:
        return any(finding.clear for finding in self.findings)


def judge(
    new: Sample,
    old: Sample | None,
    gates: Gates,
    queries: Mapping[str, float | None],
    more: Sequence[Finding] = (),
) -> Judgement:
    """Judge the new pool. `old`: the other in the same time; `queries`: values by name, None: no answer.

    more: what else was found (see memory_gate).
    """
    findings: list[Finding] = []
    if gates.errors < 100:
        findings.append(_errors(new, gates))
    if gates.errors_above_old < 100:
        findings.append(_errors_above_old(new, old, gates))
    for name, share, limit in (("p95", 0.05, gates.p95), ("p99", 0.01, gates.p99)):
        if limit is not None:
            findings.append(_slow(name, new, share, limit / 1000, gates.minimum_requests))
    if gates.slower_than_old is not None:
        findings.append(_slower_than_old(new, old, gates.slower_than_old, gates.minimum_requests))
    findings += more
    findings += [_query(query.name, query.max, queries.get(query.name)) for query in gates.queries]
    return Judgement(_worst(findings), tuple(findings))


def _worst(findings: list[Finding]) -> str:
    verdicts = {finding.verdict for finding in findings}
    if verdicts == {SKIPPED}:
        return INCONCLUSIVE
    worst = max(verdicts, key=lambda verdict: _RANK[verdict], default=PASS)
    return PASS if worst == SKIPPED else worst


def _errors(new: Sample, gates: Gates) -> Finding:
    allowed = gates.errors / 100
    verdict, clear = _weigh(new.errors, new.requests, allowed, allowed, gates.minimum_requests)
    said = f"{_failed(new)}, limit {gates.errors:g} %{_so_far(new.requests, gates.minimum_requests)}"
    return Finding("errors", _percent(new), gates.errors, verdict, said, clear)


def _errors_above_old(new: Sample, old: Sample | None, gates: Gates) -> Finding:
    gate, limit, least = "errors_above_old", gates.errors_above_old, gates.minimum_requests
    if old is None or old.requests < least:
        return Finding(gate, None, limit, SKIPPED, _not_compared(old.requests if old else 0, least))
    above = limit / 100
    allowed = min(old.errors / old.requests + above, 1.0)
    # A few hundred requests without an error do not prove that there is never one.
    cautious = min((old.errors + 1) / (old.requests + 2) + above, 1.0)
    verdict, clear = _weigh(new.errors, new.requests, allowed, cautious, least)
    share, before = _percent(new), 100 * old.errors / old.requests
    said = f"{_failed(new)}, {before:.2g} % of the old pool's {old.requests}; limit {limit:g} points above it"
    observed = None if share is None else share - before
    return Finding(gate, observed, limit, verdict, said + _so_far(new.requests, least), clear)


def _slow(gate: str, new: Sample, share: float, limit: float, minimum: int) -> Finding:
    observed = new.p95 if gate == "p95" else new.p99
    percent = f"{100 * (1 - share):g} %"
    verdict, clear = _weigh_times(new, observed, share, limit, minimum)
    said = f"{percent} of {new.timed} requests within {_seconds(observed)}, limit {_seconds(limit)}"
    return Finding(gate, observed, limit, verdict, said + _so_far(new.timed, minimum), clear)


def _slower_than_old(new: Sample, old: Sample | None, times: float, minimum: int) -> Finding:
    gate = "slower_than_old"
    if old is None or old.timed < minimum or not old.p95:
        return Finding(gate, None, times, SKIPPED, _not_compared(old.timed if old else 0, minimum))
    limit = max(old.p95 * times, old.p95 + RESOLUTION)
    verdict, clear = _weigh_times(new, new.p95, 0.05, limit, minimum)
    observed = None if new.p95 is None else new.p95 / old.p95
    said = (
        f"95 % of {new.timed} requests within {_seconds(new.p95)}, of the old pool's {old.timed} within "
        f"{_seconds(old.p95)}; limit {times:g} times as long{_so_far(new.timed, minimum)}"
    )
    # What starts is slower than what has long run: no comparison before the minimum.
    return Finding(gate, observed, times, verdict, said, clear and new.timed >= minimum)


def _query(name: str, limit: float, value: float | None) -> Finding:
    gate = f"query {name}"
    if value is None or math.isnan(value):
        return Finding(gate, None, limit, INCONCLUSIVE, f"{name} has no value, limit {limit:g}")
    verdict = FAIL if value > limit else PASS
    return Finding(gate, value, limit, verdict, f"{name} is {value:g}, limit {limit:g}", verdict == FAIL)


def _weigh(bad: int, of: int, allowed: float, cautious: float, minimum: int) -> tuple[str, bool]:
    """Verdict on `bad` failed of `of` requests, and whether it is clear already.

    allowed: the share that may be bad. cautious: the same where it is itself only estimated, from above.
    """
    all_bad = bad == of >= ALL_OF_THE_FIRST and allowed < 1
    clear = all_bad or (bad > ACCIDENT and at_least(bad, of, cautious) < UNLIKELY)
    if clear:
        return FAIL, True
    # Before the minimum: too many already, even if all up to it went well.
    if bad <= allowed * max(of, minimum):
        return (PASS if of >= minimum else INCONCLUSIVE), False
    return (FAIL if bad > ACCIDENT else INCONCLUSIVE), False


def _weigh_times(
    new: Sample, observed: float | None, share: float, limit: float, minimum: int
) -> tuple[str, bool]:
    slow, of = new.slower_than(limit), new.timed
    if observed is None:
        return INCONCLUSIVE, False
    if slow is not None and slow >= WARM_UP and at_least(slow, of, share) < UNLIKELY:
        return FAIL, True
    if of < minimum:
        return INCONCLUSIVE, False
    if observed <= limit:
        return PASS, False
    return (INCONCLUSIVE if slow is not None and slow <= ACCIDENT else FAIL), False


def _percent(sample: Sample) -> float | None:
    return 100 * sample.errors / sample.requests if sample.requests else None


def _failed(sample: Sample) -> str:
    share = _percent(sample)
    return f"{sample.errors} of {sample.requests} requests failed" + (f" ({share:.2g} %)" if share else "")


def _seconds(value: float | None) -> str:
    return "an unknown time" if value is None else f"{value:.3g} s"


def _so_far(requests: int, minimum: int) -> str:
    return f" ({requests} of at least {minimum} requests)" if requests < minimum else ""


def _not_compared(requests: int, minimum: int) -> str:
    return f"not compared: the old pool had {requests} of at least {minimum} requests"
