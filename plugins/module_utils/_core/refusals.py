"""What stands in the way of a release: every reason from every host, told at once; decisions, pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import SlipwayError

# What a release relies on, and the components whose change in the same release may be its cure.
CURES: Mapping[str, tuple[str, ...]] = {
    "postgres": ("etcd", "postgres"),
    "redis": ("redis", "sentinel"),
    "router": ("router",),
    "local-router": ("local-router",),
    "backup": ("backup-repository", "backup-agent"),
}


@dataclass(frozen=True)
class Refusal:
    """One reason not to begin, and the check that found it."""

    check: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}."


class Refusals:
    """The reasons found so far on one host: a check that refuses does not keep the next one from looking."""

    def __init__(self) -> None:
        self.found: list[Refusal] = []

    @contextmanager
    def of(self, check: str) -> Iterator[None]:
        try:
            yield
        except SlipwayError as error:
            self.add(check, error.problem, error.remedy)

    def add(self, check: str, problem: str, remedy: str) -> None:
        self.found.append(Refusal(check, problem, remedy))


class NotPreparedError(SlipwayError):
    """Everything that stands in the way, by host; nothing that runs was touched."""

    def __init__(self, refused: Mapping[str, Sequence[Refusal]]) -> None:
        reasons = by_reason(refused)
        count = "1 reason" if len(reasons) == 1 else f"{len(reasons)} reasons"
        listing = "".join(f"\n  - {', '.join(hosts)}: {reason}" for reason, hosts in reasons.items())
        told = f"the release is refused for {count}, nothing that runs was touched:{listing}\n"
        super().__init__(told, "Correct what is named and run the same command again")

    def __str__(self) -> str:
        return f"{self.problem}{self.remedy}."


def by_reason(refused: Mapping[str, Sequence[Refusal]]) -> dict[str, list[str]]:
    """The hosts that say the same, by what they say."""
    found: dict[str, list[str]] = {}
    for host, reasons in refused.items():
        for reason in reasons:
            found.setdefault(str(reason), []).append(host)
    return found


def told_apart(
    refused: Mapping[str, Sequence[Refusal]], changing: AbstractSet[str]
) -> tuple[dict[str, list[Refusal]], dict[str, list[Refusal]]]:
    """What refuses, and what only warns: a part that is sick may be cured by the release that changes it."""
    stands: dict[str, list[Refusal]] = {}
    warns: dict[str, list[Refusal]] = {}
    for host, reasons in refused.items():
        for reason in reasons:
            cured = changing & set(CURES.get(reason.check, ()))
            (warns if cured else stands).setdefault(host, []).append(reason)
    return stands, warns
