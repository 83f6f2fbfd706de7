"""What must happen on one host to bring it to a release: a decision, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# `data` before the user's services, `edge` after them, removals when everything new serves.
PHASES = ("data", "services", "edge", "finish")

# Replacing and restarting interrupt what runs; the fleet does these one host at a time.
INTERRUPTING = ("replace", "restart")


@dataclass(frozen=True)
class Unit:
    """A Compose service as the release machinery handles it.

    folder: its configuration, relative to a release and to the live tree; None where it has none.
    reload: the signal that makes it read its configuration again; None when it must be restarted.
    image, user, check: the component's own checker of a configuration (see components.Component.check).
    """

    name: str
    phase: str
    folder: str | None = None
    reload: str | None = None
    image: str = ""
    user: int = 0
    check: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What a release wants of a service: Compose's fingerprint, and that of its configuration."""

    unit: Unit
    hash: str
    config: str


@dataclass(frozen=True)
class Observed:
    """What runs: Compose's fingerprint, the configuration it has loaded (if known), whether it is up."""

    hash: str
    config: str
    running: bool
    admitted: bool = True


@dataclass(frozen=True)
class Step:
    """One change, and the reason an operator will read in the diff."""

    action: str
    service: str
    phase: str
    reason: str

    def __str__(self) -> str:
        return f"{self.action} {self.service} ({self.reason})"


def plan(observed: Mapping[str, Observed], wanted: Mapping[str, Wanted]) -> list[Step]:
    """Compare what runs with what a release wants, in the order it must happen.

    Removals come last, so that a failed start leaves the old containers serving.
    """
    steps = []
    for phase in PHASES:
        for name, want in wanted.items():
            if want.unit.phase == phase:
                steps += _step(want, observed.get(name))
    for name in sorted(observed.keys() - wanted.keys()):
        steps.append(Step("remove", name, "finish", "no longer declared"))
    return steps


def _step(want: Wanted, seen: Observed | None) -> list[Step]:
    unit = want.unit
    if seen is None:
        return [Step("create", unit.name, unit.phase, "not there")]
    if seen.hash != want.hash:
        return [Step("replace", unit.name, unit.phase, f"definition {seen.hash[:8]} -> {want.hash[:8]}")]
    if not seen.running:
        return [Step("start", unit.name, unit.phase, "not running")]
    if seen.config != want.config:
        action = "reload" if unit.reload else "restart"
        return [Step(action, unit.name, unit.phase, f"configuration {seen.config[:8]} -> {want.config[:8]}")]
    if not seen.admitted:
        return [Step("readmit", unit.name, unit.phase, "an interrupted run left it out of the traffic")]
    return []
