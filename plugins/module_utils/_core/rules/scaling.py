"""Other numbers of replicas than the stack declares, for one run: laid over it before it is judged.

On a host nothing but the numbers may change then: a scaling never brings a release along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import Problem, SlipwayError
from ..release.plan import Step
from ..wording import did_you_mean, listed

PATH = "replicas"
# Where a release says which replicas there are; whether their definitions differ is seen from the steps.
NUMBERS = ("docker-compose.prod.yml", "config/router/", "config/local-router/")


def scaled(definition: object, replicas: object) -> tuple[object, list[Problem]]:
    """The definition with these replicas (service -> number), and what is wrong with the wish itself.

    Whether a number is within a service's bounds, and whether its ports are free, is judged with the rest.
    """
    if replicas is None:
        return definition, []
    services = definition.get("services") if isinstance(definition, Mapping) else None
    if not isinstance(definition, Mapping) or not isinstance(services, Mapping):
        return definition, []  # the definition's own fault, which is reported as such
    if not isinstance(replicas, Mapping) or not replicas:
        return definition, [
            Problem(PATH, "is no table of services and numbers", 'Write -e \'{"replicas": {"api": 3}}\'')
        ]
    problems = [problem for name, count in replicas.items() for problem in _wrong(str(name), count, services)]
    changed: dict[str, Any] = {
        name: {**service, "replicas": replicas[name]}
        for name, service in services.items()
        if name in replicas and isinstance(service, Mapping)
    }
    return {**definition, "services": {**services, **changed}}, problems


def _wrong(name: str, count: object, services: Mapping[str, Any]) -> list[Problem]:
    if name not in services:
        remedy = f"{did_you_mean(name, services)}The stack has {listed(sorted(map(str, services)))}"
        return [Problem(f"{PATH}/{name}", "no such service", remedy)]
    if not isinstance(count, int) or isinstance(count, bool):
        return [
            Problem(f"{PATH}/{name}", f"is {count!r}, no number", 'Write -e \'{"replicas": {"api": 3}}\'')
        ]
    return []


def require_only_numbers(changed: Iterable[str], steps: Sequence[Step]) -> None:
    """SlipwayError with everything that a scaling would change beside numbers of replicas.

    changed: paths of a release's files that differ from those that serve.
    """
    found = [path for path in changed if not path.startswith(NUMBERS)]
    found += [str(step) for step in steps if not _of_numbers(step)]
    if found:
        raise SlipwayError(
            f"more than the number of replicas would change: {listed(found)}",
            "Deploy what the stack declares first, or put it back as it was; nothing was changed",
        )


def _of_numbers(step: Step) -> bool:
    # Routers learn of new replicas by a reload.
    return step.action in ("reload", "readmit") or (
        step.phase == "services" and step.action in ("create", "start", "retire")
    )
