"""Errors an operator can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SlipwayError(Exception):
    """A failure with a known cause and a next step."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}.")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class Problem:
    """One fault in the user's input: where it stands, what is wrong, what to write instead."""

    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.remedy}."


class InvalidInputError(SlipwayError):
    """Everything that is wrong with the user's input, all at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listing = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{count} found, no host was touched:{listing}\n", "Correct the input and run again")
        self.problems = list(problems)

    def __str__(self) -> str:
        return self.problem + self.remedy + "."
