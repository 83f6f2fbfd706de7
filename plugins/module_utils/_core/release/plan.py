"""What must happen on one host to bring it to a release: a decision, pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..pool_names import POOLS

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
    early: see components.Component.
    service, pool: for a replica, what it is one of.
    """

    name: str
    phase: str
    folder: str | None = None
    reload: str | None = None
    image: str = ""
    user: int = 0
    check: tuple[str, ...] = ()
    service: str = ""
    pool: str = ""
    early: bool = False


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


def plan(
    observed: Mapping[str, Observed],
    wanted: Mapping[str, Wanted],
    live: Mapping[str, str],
    warm: Collection[tuple[str, str]] = (),
) -> list[Step]:
    """Compare what runs with what a release wants, in the order it must happen.

    live: service -> its live pool. warm: service and pool of those kept to go back to.
    A service whose live replicas are not as wanted gets one step `rollout`: how is decided over the whole
    fleet. Removals come last: a failed start leaves the old ones serving.
    """
    services = {want.unit.service for want in wanted.values() if want.unit.service}
    components = [
        step
        for name, want in wanted.items()
        if not want.unit.service
        for step in _step(want, observed.get(name))
    ]
    steps = []
    for phase in PHASES:
        steps += [step for step in components if step.phase == phase]
        if phase == "services":
            for service in sorted(services):
                steps += _service(service, observed, wanted, live[service], warm)
    for name in sorted(observed.keys() - wanted.keys()):
        if replica_of(name)[0] not in services:
            steps.append(Step("remove", name, "finish", "no longer declared"))
    return steps


def replica_of(name: str) -> tuple[str, str]:
    """Service and pool of a replica's Compose name; two empty texts for a component."""
    match = re.fullmatch(rf"(.+)-({'|'.join(POOLS)})-\d+", name)
    return (match[1], match[2]) if match else ("", "")


def _service(
    service: str,
    observed: Mapping[str, Observed],
    wanted: Mapping[str, Wanted],
    live: str,
    warm: Collection[tuple[str, str]],
) -> list[Step]:
    alive = {
        name: want for name, want in wanted.items() if (want.unit.service, want.unit.pool) == (service, live)
    }
    steps = [step for name, want in alive.items() for step in _step(want, observed.get(name))]
    changed = [step for step in steps if step.action in INTERRUPTING]
    if changed:
        return [Step("rollout", service, "services", f"{changed[0].service}: {changed[0].reason}")]
    others = {name: replica_of(name) for name in observed.keys() - alive.keys()}
    surplus = sorted(
        name for name, (owner, pool) in others.items() if owner == service and (owner, pool) not in warm
    )
    return steps + [Step("retire", name, "services", "one too many") for name in surplus]


def _step(want: Wanted, seen: Observed | None) -> list[Step]:
    unit = want.unit
    down = "data" if unit.early else unit.phase
    if seen is None:
        return [Step("create", unit.name, down, "not there")]
    if seen.hash != want.hash:
        phase = unit.phase if seen.running else down
        return [Step("replace", unit.name, phase, f"definition {seen.hash[:8]} -> {want.hash[:8]}")]
    if not seen.running:
        return [Step("start", unit.name, down, "not running")]
    if seen.config != want.config:
        action = "reload" if unit.reload else "restart"
        return [Step(action, unit.name, unit.phase, f"configuration {seen.config[:8]} -> {want.config[:8]}")]
    if not seen.admitted:
        return [Step("readmit", unit.name, unit.phase, "an interrupted run left it out of the traffic")]
    return []
