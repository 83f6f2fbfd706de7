"""What the drill of alerts has measured, as a table for docs/alerts.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alert_case import Case


@dataclass(frozen=True)
class Outcome:
    """Of one alert. told: seconds from the fault to its message; resolved: from the runbook's first command
    to the message of its end; None: it did not come. mailed: whether it came by mail, too. silent: seconds
    from the fault until a sign of life was overdue, where nobody can be told of the fault.
    """

    case: Case
    alert: str
    told: float | None
    resolved: float | None
    mailed: bool = False
    silent: float | None = None
    problem: str = ""

    @property
    def well(self) -> bool:
        return not self.problem and self.told is not None and self.resolved is not None


def line(outcome: Outcome) -> str:
    """As it ends, for whoever waits."""
    figures = f"message after {_seconds(outcome.told)}, resolved after {_seconds(outcome.resolved)}"
    also = "" if outcome.mailed else ", not by mail"
    return f"{outcome.alert}: {figures}{also}" + (f": FAILED: {outcome.problem}" if outcome.problem else "")


def table(outcomes: Iterable[Outcome], not_drilled: Mapping[str, str]) -> str:
    rows = [
        "| alert | fault | message after | runbook, to the letter | resolved after | made shorter |",
        "|---|---|---|---|---|---|",
        *(_row(it) for it in sorted(outcomes, key=lambda it: it.alert)),
        "",
        "| not drilled | why |",
        "|---|---|",
        *(f"| `{alert}` | {why} |" for alert, why in sorted(not_drilled.items())),
    ]
    return "\n".join(rows) + "\n"


def failed(case: Case, problem: str, alerts: Sequence[str] = ()) -> list[Outcome]:
    """Of a case that went no further."""
    return [
        Outcome(case, it.alert, None, None, problem=problem) for it in case.watched if it.alert not in alerts
    ]


def _row(outcome: Outcome) -> str:
    steps = "; then ".join(_step(act.words, quoted=bool(act.quote)) for act in outcome.case.runbook)
    told = _seconds(outcome.told)
    if outcome.silent is not None:
        told += f" (once it could be told; the sign of life was overdue after {_seconds(outcome.silent)})"
    cells = (
        f"`{outcome.alert}`",
        outcome.case.fault,
        told,
        steps,
        _seconds(outcome.resolved) + (f" ({outcome.problem.splitlines()[0]})" if outcome.problem else ""),
        outcome.case.shortened or "-",
    )
    return "| " + " | ".join(cells) + " |"


def _step(words: str, *, quoted: bool) -> str:
    # A bar would end the cell.
    return f"“{words}”" if quoted else f"`{words}`".replace("|", "\\|")


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"
