"""Whether the replicas of a new pool stay within their memory, now and at the rate at which they grow; pure.

A pool that is no fuller than the old one is no reason to go back to that. What has just started grows for a
while in any case: growth counts only once a replica has outgrown the old pool, over a minute or more, along a
straight line that has not begun to flatten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..checks.verdicts import size
from ..stack.model_rollout import Gates
from .judging import FAIL, INCONCLUSIVE, PASS, Finding

Samples = tuple[tuple[float, float], ...]

# Seconds. Three readings: before that it means nothing that none was seen yet.
EXPECTED = 15.0
# Above the limit in all readings of so many seconds, and in two of them, is no passing peak.
LASTING = 5.0
# Less growth than this is no evidence of anything.
EVIDENCE = 60.0
# Share of the rises and falls that a straight line explains, at least.
STRAIGHT = 0.9
# The later half grows at least this many times as fast as the whole: caches that fill up slow down.
UNABATED = 0.7


@dataclass(frozen=True)
class Use:
    """One replica: bytes it used (rising in time, seconds), and the limit at which it is killed."""

    replica: str
    limit: int
    samples: Samples

    @property
    def percent(self) -> float:
        return 100 * self.samples[-1][1] / self.limit


def judge_memory(new: Sequence[Use], old: Sequence[Use], gates: Gates, seconds: float) -> list[Finding]:
    """`seconds`: how long the gate has lasted."""
    if gates.memory >= 100 and not gates.memory_lasts:
        return []
    if not new:
        said = "nobody has measured the memory of the new replicas"
        return [Finding("memory", None, gates.memory, INCONCLUSIVE, said)] if seconds >= EXPECTED else []
    findings = [_level(new, old, gates.memory)] if gates.memory < 100 else []
    growing = [found for one in new if (found := _growth(one, old, gates.memory_lasts))]
    return findings + growing[:1]


def _level(new: Sequence[Use], old: Sequence[Use], limit: float) -> Finding:
    fullest = max(new, key=lambda one: one.percent)
    before = max((one.percent for one in old), default=0.0)
    said = f"{fullest.replica} uses {fullest.percent:.0f} % of its {size(fullest.limit)}, limit {limit:g} %"
    if fullest.percent <= limit:
        return Finding("memory", fullest.percent, limit, PASS, said)
    if fullest.percent <= before:
        return Finding("memory", fullest.percent, limit, PASS, f"{said}; the old pool uses {before:.0f} %")
    return Finding("memory", fullest.percent, limit, FAIL, said, _lasting(fullest, limit))


def _lasting(one: Use, limit: float) -> bool:
    until = one.samples[-1][0]
    late = [used for moment, used in one.samples if until - moment <= LASTING + 1]
    return len(late) > 1 and all(100 * used / one.limit > limit for used in late)


def _growth(one: Use, old: Sequence[Use], lasts: int) -> Finding | None:
    """A failure where the limit is near at this rate and all evidence says so; else nothing."""
    (begun, _first), (until, last) = one.samples[0], one.samples[-1]
    if not lasts or until - begun < EVIDENCE or one.percent <= max((it.percent for it in old), default=0.0):
        return None
    whole, straight = _line(one.samples)
    later, _ = _line([sample for sample in one.samples if sample[0] >= (begun + until) / 2])
    # What the old pool does in the same minutes is not the new release's doing.
    rate = later - max([0.0, *(_line(it.samples)[0] for it in old if len(it.samples) > 1)])
    if rate <= 0 or straight < STRAIGHT or later < UNABATED * whole:
        return None
    left = (one.limit - last) / rate
    if left >= lasts:
        return None
    said = (
        f"{one.replica} has grown by {size(int(60 * rate))} a minute for {until - begun:.0f} s and uses "
        f"{one.percent:.0f} % of its {size(one.limit)}: full in {_time(left)}, limit {_time(lasts)}"
    )
    return Finding("memory_lasts", left, float(lasts), FAIL, said, clear=True)


def _line(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Bytes a second of the straight line through the samples, and how much of them it explains (0 to 1)."""
    count = len(samples)
    middle = sum(moment for moment, _ in samples) / count
    mean = sum(used for _, used in samples) / count
    spread = sum((moment - middle) ** 2 for moment, _ in samples)
    varied = sum((used - mean) ** 2 for _, used in samples)
    common = sum((moment - middle) * (used - mean) for moment, used in samples)
    if not spread or not varied:
        return 0.0, 0.0
    return common / spread, common**2 / (spread * varied)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
