"""From single answers to what is compared: how long a move took, what it cost, when a release was gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

# After everything is said to be done, so many answers in a row must be the new release's.
LAST_ANSWERS = 20


class ComparisonError(Exception):
    """Why something could not be measured, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}.")


@dataclass(frozen=True)
class Answer:
    """One request: when it ended (monotonic clock), how long it took; `wrong` is empty for a good one."""

    at: float
    seconds: float
    method: str
    version: str
    wrong: str


@dataclass(frozen=True)
class Starts:
    """Measured seconds from `docker run` to readiness: on one host alone, and on all hosts at once."""

    alone: float
    together: float


@dataclass(frozen=True)
class Floor:
    """What a move cannot do without: rounds of starts, on one host or on all together, and chosen pauses."""

    alone: int = 0
    together: int = 0
    pauses: float = 0

    def seconds(self, starts: Starts) -> float:
        return self.alone * starts.alone + self.together * starts.together + self.pauses


@dataclass(frozen=True)
class Move:
    """One change of release: when its command was given, when that ended, when every replica was ready."""

    way: str
    what: str
    old: str
    new: str
    begun: float
    ended: float
    settled: float


@dataclass(frozen=True)
class Row:
    """What is compared. Seconds from the command on; `last_old`: the last answer of the release that went."""

    way: str
    what: str
    seconds: float
    command: float
    floor: float
    last_old: float
    sent: int
    failed: int
    failed_by_method: dict[str, int]
    slowest: float
    failures: list[str]

    @property
    def ratio(self) -> float | None:
        """Times the floor; None where nothing has to start."""
        return self.seconds / self.floor if self.floor else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


def reckon(move: Move, answers: Sequence[Answer], floor: float) -> Row:
    """Count what a move did to its users. Raises ComparisonError where the new release does not serve."""
    told = sorted(answers, key=lambda answer: answer.at)
    good = [answer for answer in told if not answer.wrong]
    _refuse_incomplete(move, good)
    failed = [answer for answer in told if answer.wrong]
    last_old = max(answer.at for answer in good if answer.version == move.old)
    return Row(
        way=move.way,
        what=move.what,
        seconds=move.settled - move.begun,
        command=move.ended - move.begun,
        floor=floor,
        last_old=last_old - move.begun,
        sent=len(told),
        failed=len(failed),
        failed_by_method=dict(Counter(answer.method for answer in failed)),
        slowest=max(answer.seconds for answer in told),
        failures=sorted({f"{answer.method}: {answer.wrong}" for answer in failed}),
    )


def _refuse_incomplete(move: Move, good: Sequence[Answer]) -> None:
    others = {answer.version for answer in good} - {move.old, move.new}
    if others:
        problem = f"{move.way}: {', '.join(sorted(others))} answered, too"
        raise ComparisonError(problem, "Let nobody else deploy to this lab meanwhile")
    if not any(answer.version == move.old and answer.at < move.begun for answer in good):
        raise ComparisonError(
            f"{move.way}: {move.old} did not serve before the {move.what}", "Look at its log"
        )
    after = [answer.version for answer in good if answer.at > move.settled][-LAST_ANSWERS:]
    if len(after) < LAST_ANSWERS or set(after) != {move.new}:
        raise ComparisonError(
            f"{move.way}: {move.new} does not serve alone after the {move.what}", "Look at its log"
        )
