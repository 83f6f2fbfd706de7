"""One host's part in a run's contest for the lock, round by round, as `lock_protocol` decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from ..module_utils._core.locking.lock import BEAT, Seen
from ..module_utils._core.locking.lock_protocol import Contest, Move, Report, described, life_signs
from ..module_utils._core.retry import Patience
from .this_run import done_by_another, first_to

LAST_ROUND = 4
# Seconds that the other hosts wait for what the first one says, and between two looks at that.
FIRST_PATIENCE = 5.0
_LOOK = 0.02
_FIRST_ASKED = "lock-first-asked"
_FIRST_TAKEN = "lock-first-taken"
_SHOWN_ALIVE = "lock-shown-alive"
_GIVEN_BACK = "lock-given-back"
# What ends the watch on a host that is held, and on one that is free.
_SETTLED = {True: (_SHOWN_ALIVE,), False: (_SHOWN_ALIVE, _GIVEN_BACK)}


@dataclass(frozen=True)
class Hands:
    """How the lock of one host is reached, and the operator.

    ask(take, over): who holds it, after taking it if `take` and it may be taken (see LockFile.take).
    board: folder where the workers of one run leave word for each other. attempt: tells this time that the
    run takes the lock from any other.
    """

    ask: Callable[[bool, Mapping[str, int]], Seen | None]
    give_back: Callable[[], object]
    say: Callable[[str], object]
    board: Path | None = None
    attempt: str = ""


def first_round(run: str, host: str, first: str, hands: Hands) -> Report:
    """Take the first host's copy if it is free, and as soon as that is known the others; else read them.

    A host that hears nothing of the first in time (there are fewer workers than hosts) is left to the next
    round.
    """
    if host != first:
        return Report(host, hands.ask(_first_is_ours(hands), {}))
    try:
        report = Report(host, hands.ask(True, {}))
        if report.is_held_by(run):
            first_to(f"{_FIRST_TAKEN}-{hands.attempt}", hands.board)
        return report
    finally:
        first_to(f"{_FIRST_ASKED}-{hands.attempt}", hands.board)


def _first_is_ours(hands: Hands) -> bool:
    patience = Patience(FIRST_PATIENCE, repeat(_LOOK))
    while not done_by_another(f"{_FIRST_ASKED}-{hands.attempt}", hands.board):
        if not patience.again():
            return False
    return done_by_another(f"{_FIRST_TAKEN}-{hands.attempt}", hands.board)


def next_round(contest: Contest, host: str, hands: Hands) -> Report:
    """Do what the answers of the round before call for; a refused run gives back what it holds here."""
    move, number = contest.next_move(host), contest.round + 1
    own = next(report for report in contest.reports if report.host == host)
    if move is Move.REFUSE:
        hands.give_back()
        raise contest.refusal()
    if move is Move.NOTHING:
        return Report(host, own.holder, round=number)
    if move is Move.WATCH:
        return _watch(contest, own, hands)
    over = contest.over(host) if move is Move.TAKE else {}
    report = Report(host, hands.ask(move is Move.TAKE, over), round=number)
    if number == LAST_ROUND and not report.is_held_by(contest.run):
        hands.give_back()
        raise Contest(contest.run, [report], contest.gone).refusal()
    if over and report.is_held_by(contest.run) and first_to("lock-taken-over", hands.board):
        for dead in contest.dead():
            hands.say(f"{described(dead)}: taken over")
    return report


def _watch(contest: Contest, own: Report, hands: Hands) -> Report:
    """Until a lock showed life on some host, or was given back, or every lock would be dead."""
    wait = contest.watch_for()
    if wait and first_to("lock-watched", hands.board):
        whose = "; ".join(map(described, contest.living()))
        hands.say(f"The environment is locked: {whose}. Watching it for up to {wait:.0f} s")
    until = time.monotonic() + wait
    before = {own.holder.claim.run: own.holder.beat} if own.holder else {}
    while True:
        holder = hands.ask(False, {})
        moved = life_signs(before, holder)
        if moved:
            first_to(_SHOWN_ALIVE, hands.board)
        elif before and holder is None:
            first_to(_GIVEN_BACK, hands.board)
        if time.monotonic() >= until or any(
            done_by_another(it, hands.board) for it in _SETTLED[bool(holder)]
        ):
            return Report(own.host, holder, moved, contest.round + 1)
        time.sleep(BEAT)
