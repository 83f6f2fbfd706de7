"""Rules of `stack/data`: what names nothing, or nothing can be done with."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Problem
from ..stack.model import Stack
from ..wording import did_you_mean, listed

_PATH = "stack/data/databases"


def data_faults(stack: Stack) -> Iterator[Problem]:
    databases = {service.database for service in stack.services.values() if service.database}
    for name, care in stack.data.databases.items():
        if name not in databases:
            remedy = f"{did_you_mean(name, databases)}Databases: {listed(sorted(databases))}"
            yield Problem(f"{_PATH}/{name}", "is no database of a service", remedy)
        first = set[tuple[str, str]]()
        for index, rule in enumerate(care.retention):
            if (rule.table, rule.column) in first:
                problem = f"{rule.table}.{rule.column} has a rule already"
                yield Problem(f"{_PATH}/{name}/retention/{index}", problem, "Keep one of them")
            first.add((rule.table, rule.column))
