"""One case of the drill of alerts after the other: hurt, wait, follow the runbook, wait, undo."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from alert_case import Act, Case, Watched
from alert_hands import Hands, Scene
from alert_report import Outcome, failed, line
from alert_sinks import SIGN_SECONDS, Sinks

T = TypeVar("T")

# A sign of life that is this late is missed by whoever expects it.
OVERDUE = 2 * SIGN_SECONDS
# What a case may end with: a command that fails or hangs, a host that does not answer as it should.
TROUBLE = (AssertionError, OSError, ValueError, LookupError, subprocess.SubprocessError)
# Rules look ten minutes back: what fires for another reason ends within this.
QUIET = 900.0
# Between two looks: at what this process has got, and at what a host must be asked for.
LOOK, ASK = 0.2, 5.0


class HaltedError(AssertionError):
    """Somebody wants the drill to end: what it has done is undone first."""


@dataclass
class Course:
    """One case as it goes. heard, ended: alerts -> when they, and their ends, were told."""

    case: Case
    scene: Scene
    begun: float = field(default_factory=time.time)
    acted: float = 0.0
    silent: float | None = None
    heard: Mapping[str, float] = field(default_factory=dict)
    ended: Mapping[str, float] = field(default_factory=dict)

    def outcome(self, watched: Watched, *, mailed: bool) -> Outcome:
        heard, ended = self.heard.get(watched.alert), self.ended.get(watched.alert)
        problem = ""
        if heard is None:
            problem = f"no message within {self.case.told} s"
        elif ended is None:
            problem = f"its end was not told within {self.case.resolved} s"
        return Outcome(
            self.case,
            watched.alert,
            None if heard is None else heard - self.begun,
            None if ended is None else ended - self.acted,
            mailed,
            self.silent,
            problem,
        )


class Drill:
    """halt: set where the drill is to end early."""

    def __init__(self, hands: Hands, sinks: Sinks, halt: threading.Event) -> None:
        self._hands = hands
        self._sinks = sinks
        self._halt = halt

    def lane(self, cases: Sequence[Case]) -> list[Outcome]:
        """One case after the other, whatever becomes of each; a line for each alert as it ends."""
        outcomes = []
        for case in cases:
            found = self.case(case)
            print(*(line(it) for it in found), sep="\n", flush=True)
            outcomes += found
        return outcomes

    def case(self, case: Case) -> list[Outcome]:
        if self._halt.is_set():
            return failed(case, "not begun: the drill was ended")
        try:
            scene = self._hands.scene(case)
        except TROUBLE as error:
            return failed(case, f"its hosts could not be asked: {error}")
        try:
            outcomes = self._befallen(case, scene)
        except TROUBLE as error:
            outcomes = failed(case, str(error))
        finally:
            left = self._undo(case, scene)
        return [*outcomes, *failed(case, f"not undone: {left}")] if left else outcomes

    def _befallen(self, case: Case, scene: Scene) -> list[Outcome]:
        self._do(case.before, scene)
        self._quiet(case, scene)
        course = Course(case, scene)
        self._do(case.inject, scene)
        if case.unheard:
            self._fires(course)
        else:
            course.heard = self._messages(course, "firing", course.begun, case.told)
            if not course.heard:
                return failed(case, f"no message within {case.told} s")
        course.acted = time.time()
        self._do(case.runbook, scene)
        if case.unheard:
            course.heard = self._messages(course, "firing", course.acted, case.told)
        course.ended = self._messages(course, "resolved", course.acted, case.resolved)
        return [course.outcome(it, mailed=self._sinks.mailed(it.alert)) for it in case.watched]

    def _quiet(self, case: Case, scene: Scene) -> None:
        """Wait until what is to be told does not fire for another reason: nothing new would be told."""
        names = "|".join(watched.alert for watched in case.watched)
        query = f'ALERTS{{alertname=~"{names}",alertstate="firing",severity="critical"}}'
        (monitoring,) = scene.roles["monitoring"]
        fires = self._until(
            lambda: self._hands.ask_prometheus(query, monitoring), QUIET, ASK, lambda found: not found
        )
        assert not fires, f"{names} fired before, and for {QUIET:.0f} s on"

    def _do(self, acts: Sequence[Act], scene: Scene) -> None:
        for act in acts:
            self._hands.do(act, scene)

    def _fires(self, course: Course) -> None:
        """Wait until Prometheus would tell. By then a sign of life is overdue, or nobody would look."""
        (watched,) = course.case.watched
        query = f'ALERTS{{alertname="{watched.alert}",alertstate="firing"}}'
        (monitoring,) = course.scene.roles["monitoring"]
        told = self._until(lambda: self._hands.ask_prometheus(query, monitoring), course.case.told, ASK)
        assert told, f"Prometheus did not fire it within {course.case.told} s"
        overdue = self._sinks.last_sign + OVERDUE
        assert time.time() > overdue, "signs of life went on"
        course.silent = overdue - course.begun

    def _messages(self, course: Course, status: str, since: float, seconds: float) -> dict[str, float]:
        """When each alert's message came, of those that came within some seconds of a moment."""
        watched = course.case.watched

        def look() -> dict[str, float]:
            found = {
                it.alert: self._sinks.first(it.alert, status, labels(it, course.scene), course.begun, since)
                for it in watched
            }
            return {alert: told.at for alert, told in found.items() if told}

        left = seconds - (time.time() - since)
        return self._until(look, left, LOOK, lambda found: len(found) == len(watched))

    def _until(
        self, look: Callable[[], T], seconds: float, pause: float, accept: Callable[[T], bool] = bool
    ) -> T:
        """The first answer that is accepted, or the last one when the time is over."""
        deadline = time.monotonic() + seconds
        while not accept(seen := look()) and time.monotonic() < deadline:
            # Nothing tells when a message comes: it is looked for.
            if self._halt.wait(pause):
                raise HaltedError("the drill was ended")
        return seen

    def _undo(self, case: Case, scene: Scene) -> str:
        """What could not be undone."""
        left = []
        for act in case.undo:
            try:
                self._hands.do(act, scene)
            except TROUBLE as error:
                left.append(str(error))
        return "; ".join(left)


def labels(watched: Watched, scene: Scene) -> dict[str, str]:
    """Those of the alert that is waited for: a warning may have its name."""
    return {"severity": "critical"} | {name: scene.say(value) for name, value in watched.labels.items()}
