"""What a run did, for those who ask later: a value, its JSON, and how several hosts' copies become one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from ..errors import SlipwayError
from ..wording import did_you_mean, listed

RUNNING, INTERRUPTED, UNCHANGED, SUCCEEDED = "running", "interrupted", "unchanged", "succeeded"
# Of two copies the one further to the right is believed: a later run that finds a copy unfinished can only
# guess that it was interrupted, and a failure on one host is a failure.
OUTCOMES = (RUNNING, INTERRUPTED, UNCHANGED, SUCCEEDED, "rolled_back", "failed")
ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


@dataclass(frozen=True)
class StepReport:
    """One step of a run: what, for which service, on which host (both "" for all), and what it came to.

    begun, ended: ISO 8601 in UTC. verdict: a word, such as done, pass, fail or inconclusive.
    numbers: what was measured, by name.
    """

    name: str
    verdict: str = ""
    begun: str = ""
    ended: str = ""
    service: str = ""
    host: str = ""
    detail: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StepReport:
        texts = {key: str(value) for key, value in values.items() if key != "numbers"}
        return cls(**_known(cls, texts, "step"), numbers=dict(values.get("numbers") or {}))


@dataclass(frozen=True)
class ServicePlan:
    """How one service was to be released; `plan` is the list of steps, a line each, empty when unchanged."""

    strategy: str = ""
    plan: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One run. Times are ISO 8601 in UTC; `ended` is "" while it runs, or where nobody knows."""

    id: str
    begun: str
    who: str
    machine: str
    outcome: str = RUNNING
    what: str = "deploy"
    stack: str = ""
    environment: str = ""
    release: str = ""
    previous: str = ""
    ended: str = ""
    revision: str = ""
    reason: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, ServicePlan] = field(default_factory=dict)
    steps: tuple[StepReport, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long it took, as far as is known."""
        if not self.ended:
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.begun)).total_seconds()

    @property
    def changed_services(self) -> list[str]:
        return sorted(name for name, service in self.services.items() if service.plan)

    def with_steps(self, steps: Iterable[StepReport]) -> Record:
        """The record with more steps, each once, in the order they began."""
        return replace(self, steps=_in_order([*self.steps, *steps]))

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """A record from JSON; SlipwayError where it is none."""
        missing = [key for key in ("id", "begun", "who", "machine") if not values.get(key)]
        if missing or not ID.fullmatch(str(values.get("id"))):
            raise SlipwayError(
                f"a release record lacks {listed(missing or ['a valid id'])}",
                "Remove the file if its content was lost",
            )
        if values.get("outcome", RUNNING) not in OUTCOMES:
            raise SlipwayError(f"outcome is {values['outcome']!r}", f"Use one of {listed(OUTCOMES)}")
        compound = ("images", "services", "steps")
        texts = {key: str(value) for key, value in values.items() if key not in compound}
        return cls(
            **_known(cls, texts, "record"),
            images={str(name): str(image) for name, image in (values.get("images") or {}).items()},
            services={
                str(name): ServicePlan(
                    str(plan.get("strategy") or ""), tuple(map(str, plan.get("plan") or ()))
                )
                for name, plan in (values.get("services") or {}).items()
            },
            steps=_in_order(map(StepReport.from_dict, values.get("steps") or ())),
        )


def merged(copies: Sequence[Record]) -> Record:
    """One record from the copies of several hosts: the most telling one, with the steps of all."""
    best = max(copies, key=_telling)
    return replace(best, steps=()).with_steps(step for copy in copies for step in copy.steps)


def by_run(copies: Iterable[Record]) -> list[Record]:
    """Copies from all hosts as one record a run, the newest first."""
    runs: dict[str, list[Record]] = {}
    for copy in copies:
        runs.setdefault(copy.id, []).append(copy)
    return [merged(runs[name]) for name in sorted(runs, reverse=True)]


def updated(kept: Record | None, news: Record) -> Record:
    """What is kept of a run, with what is known since; what is not said again stays as it was."""
    if kept is None:
        return news
    said = {name: value for name in news.__annotations__ if (value := getattr(news, name))}
    said.pop("steps", None)
    if news.outcome == RUNNING:
        said.pop("outcome")
    return replace(kept, **said).with_steps(news.steps)


def interrupted(record: Record, found_by: str) -> Record:
    """A record of a run that ended without a word, as the next run finds it."""
    reason = f"ended without a word after {last_step(record)}; found by run {found_by}"
    return replace(record, outcome=INTERRUPTED, reason=reason)


def last_step(record: Record) -> str:
    return f'"{record.steps[-1].name}"' if record.steps else "it had begun"


def _telling(record: Record) -> tuple[int, str, str]:
    # The last makes the choice the same whatever the order of the copies.
    content = json.dumps(replace(record, steps=()).to_dict(), sort_keys=True)
    return OUTCOMES.index(record.outcome), record.ended, content


def _in_order(steps: Iterable[StepReport]) -> tuple[StepReport, ...]:
    """Each step once, the last word about it, by when it began and, within one second, by when it ended."""
    latest: dict[tuple[str, ...], StepReport] = {}
    for step in steps:
        identity = (step.begun, step.host, step.service, step.name)
        latest[identity] = max(latest.get(identity, step), step, key=_completeness)
    return tuple(latest[it] for it in sorted(latest, key=lambda it: (it[0], latest[it].ended or "~", *it)))


def _completeness(step: StepReport) -> tuple[str, str]:
    return step.ended, json.dumps(asdict(step), sort_keys=True)


def _known(kind: type, values: Mapping[str, str], what: str) -> dict[str, str]:
    unknown = [key for key in values if key not in kind.__annotations__]
    if unknown:
        meant = did_you_mean(unknown[0], list(kind.__annotations__))
        raise SlipwayError(
            f"a release {what} has no {unknown[0]}", f"{meant}It has {listed(kind.__annotations__)}"
        )
    return dict(values)
