"""How a run comes to hold the lock on all hosts of an environment: decisions, pure.

Whoever holds the first host's copy holds the environment; the others are marked after it. So of two runs that
start at once one is refused without having held anything. Up to four rounds over all hosts:

1  the first host's copy is taken if it is free, and then the others; all that are not are read;
2  nothing is left to do if all are ours; those that were not reached in time are taken if they are free; else
   all are watched for signs of life;
3  refused if there was one on any host; else the first host's copy is taken over;
4  and then the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..errors import SlipwayError
from .lock import BEAT, Claim, Seen

WATCH_AT_MOST = 40.0
# Modules that a killed run leaves at work show themselves by their signs of life within this.
SILENCE_OF_THE_GONE = 3 * BEAT


class Move(StrEnum):
    """What a run does next on one host."""

    READ = "read"
    TAKE = "take"
    WATCH = "watch"
    REFUSE = "refuse"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Report:
    """One host's answer: who holds its copy (None: nobody), whether it showed life while it was watched."""

    host: str
    holder: Seen | None
    moved: bool = False
    round: int = 1

    def is_held_by(self, run: str) -> bool:
        return self.holder is not None and self.holder.claim.run == run


@dataclass(frozen=True)
class Contest:
    """What one run knows of the lock: the reports of a round, in the environment's order of hosts.

    gone: tells of a claim that its process on this control node has certainly ended.
    """

    run: str
    reports: Sequence[Report]
    gone: Callable[[Claim], bool]

    @property
    def round(self) -> int:
        """The round that these reports are from."""
        return max(report.round for report in self.reports)

    @property
    def won(self) -> bool:
        return all(report.is_held_by(self.run) for report in self.reports)

    def next_move(self, host: str) -> Move:
        """What to do on a host in the next round."""
        if self.won:
            return Move.NOTHING
        if self.round == 1:
            return self._watch_or_mark(host)
        if self.living():
            return Move.REFUSE
        first_is_mine = self.reports[0].is_held_by(self.run)
        if host == self.reports[0].host:
            # Ours is read again, too: while the others were watched it may have been taken over.
            return Move.READ if first_is_mine else Move.TAKE if self.round == 2 else Move.REFUSE
        if first_is_mine:
            return Move.TAKE
        return Move.READ if self.round == 2 else Move.REFUSE

    def _watch_or_mark(self, host: str) -> Move:
        own = next(report for report in self.reports if report.host == host)
        if self.foreign():
            # Free hosts, too: a run that has just taken the first may give its signs of life on another.
            return Move.READ if own.is_held_by(self.run) else Move.WATCH
        return Move.TAKE if self.reports[0].is_held_by(self.run) else Move.READ

    def foreign(self) -> dict[str, list[Report]]:
        """The reports that name another run as holder, by run."""
        found: dict[str, list[Report]] = {}
        for report in self.reports:
            if report.holder and not report.is_held_by(self.run):
                found.setdefault(report.holder.claim.run, []).append(report)
        return found

    def living(self) -> list[Report]:
        """Of every other run that may be at work, the report with its latest sign of life."""
        last = [min(reports, key=_freshness) for reports in self.foreign().values()]
        return [report for report in last if report.moved or self._left(report) > 0]

    def dead(self) -> list[Report]:
        """Of every other run that has gone silent on all hosts, the report with its last sign of life."""
        living = {report.holder.claim.run for report in self.living() if report.holder}
        groups = self.foreign().items()
        return [min(reports, key=_freshness) for run, reports in groups if run not in living]

    def over(self, host: str) -> dict[str, int]:
        """Dead runs that may be replaced on a host, with their last sign of life there."""
        dead = {report.holder.claim.run for report in self.dead() if report.holder}
        here = [report.holder for report in self.reports if report.host == host and report.holder]
        return {holder.claim.run: holder.beat for holder in here if holder.claim.run in dead}

    def watch_for(self) -> float:
        """Seconds after which every foreign lock would be dead, at most WATCH_AT_MOST; 0: all are."""
        longest = max((self._left(report) for report in self.living()), default=0.0)
        return min(longest + BEAT, WATCH_AT_MOST) if longest else 0.0

    def _left(self, report: Report) -> float:
        """Seconds of silence a lock still has."""
        if report.holder is None:
            return 0.0
        claim = report.holder.claim
        allowed = SILENCE_OF_THE_GONE if self.gone(claim) else claim.silence
        return max(allowed - report.holder.silent, 0.0)

    def refusal(self) -> SlipwayError:
        """Why this run may not go on, in words for the operator."""
        others = self.living() or [reports[0] for reports in self.foreign().values()]
        if not others:
            return SlipwayError(
                "the environment's lock was given back on some hosts while it was being taken", "Run it again"
            )
        ended = [report for report in others if report.holder and self.gone(report.holder.claim)]
        wait = "Wait until it has ended, then run again"
        if ended:
            wait = (
                "Its ansible-playbook has ended, a module of it is still at work there; run again in a minute"
            )
        return SlipwayError(
            "the environment is locked: " + "; ".join(map(described, others)),
            f"{wait}. To break the lock of a run that cannot go on: "
            f"ansible-playbook playbooks/unlock.yml -l <environment> -e run={short(others[0])}",
        )


def described(report: Report) -> str:
    """A lock in a line: whose, for what, since when, where, and its last sign of life."""
    if report.holder is None:
        return f"nobody holds it on {report.host}"
    claim = report.holder.claim
    what = f"{claim.what} of {claim.release}" if claim.release else claim.what
    life = f"last sign of life {report.holder.silent:.0f} s ago on {report.host}"
    return (
        f"lock of {claim.owner}@{claim.control}, {what} since {clock(claim.begun)}, {life} "
        f"(process {claim.pid} on {claim.control}, run {claim.run[:8]})"
    )


def short(report: Report) -> str:
    """The part of a run's id that is enough to name it."""
    return report.holder.claim.run[:8] if report.holder else ""


def clock(moment: str) -> str:
    """An ISO 8601 time in UTC as a day and a time of day."""
    return moment.replace("T", " ").removesuffix("Z").removesuffix("+00:00") + " UTC"


def life_signs(before: Mapping[str, int], now: Seen | None) -> bool:
    """Whether a lock shows life: another run has it, or its holder has given a sign since."""
    return now is not None and before.get(now.claim.run, -1) != now.beat


def _freshness(report: Report) -> tuple[bool, float]:
    return (not report.moved, report.holder.silent if report.holder else 0.0)
