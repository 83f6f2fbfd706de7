"""How services keep what they promise: read from Prometheus, told as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..prometheus import Series
from .slo import Objective, span

_REQUESTS, _ERRORS = "slipway_slo_requests:count_window", "slipway_slo_errors:count_window"
_LEFT, _NOW = "slipway_slo_budget_left:ratio", "slipway_slo_errors:ratio_1h"
QUERY = f'{{__name__=~"{"|".join((_REQUESTS, _ERRORS, _LEFT, _NOW))}"}}'
_HEADER = ("SERVICE", "OBJECTIVE", "WINDOW", "MEASURED", "BAD", "BUDGET LEFT", "BURN RATE", "SPENT IN")

Ask = Callable[[str], Sequence[Series]]


@dataclass(frozen=True)
class Reading:
    """One objective as it is kept. None: no request was seen.

    requests, errors: seen in the window. left: share of the error budget that is left, negative where more
    was spent. burn: times as fast as allowed at which it was spent in the last hour.
    """

    objective: Objective
    requests: float
    errors: float
    left: float | None
    burn: float | None

    @property
    def measured(self) -> float | None:
        """Percent of the requests that were good."""
        return 100 * (1 - self.errors / self.requests) if self.requests else None

    @property
    def exhausted_in(self) -> float | None:
        """Seconds until the budget is spent at the pace of the last hour; None: not within its window.

        By then, what is bad today has left the window: there is no saying.
        """
        if self.left is None:
            return None
        if self.left <= 0:
            return 0.0
        window = self.objective.window
        return self.left * window / self.burn if self.burn and self.burn >= self.left else None


def read(ask: Ask, objectives: Sequence[Objective]) -> list[Reading]:
    """One reading for each objective, in their order."""
    found = {
        (one.labels["__name__"], one.labels.get("service"), one.labels.get("objective")): one.samples[-1][1]
        for one in ask(QUERY)
    }

    def reading(it: Objective) -> Reading:
        requests, errors, left, now = (
            found.get((name, it.service, it.name)) for name in (_REQUESTS, _ERRORS, _LEFT, _NOW)
        )
        burn = None if now is None else max(now, 0) / it.allowed
        return Reading(it, max(requests or 0, 0), max(errors or 0, 0), left, burn)

    return [reading(it) for it in objectives]


def report(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """The readings as a module returns them."""
    return [
        {
            "service": it.objective.service,
            "objective": it.objective.name,
            "promised": it.objective.percent,
            "within": it.objective.within,
            "window": it.objective.window,
            "measured": it.measured,
            "requests": round(it.requests),
            "errors": round(it.errors),
            "left": it.left,
            "burn": it.burn,
            "exhausted_in": it.exhausted_in,
        }
        for it in readings
    ]


def table(readings: Sequence[Reading]) -> list[str]:
    """Aligned lines, a header first."""
    rows = [_HEADER, *map(_row, readings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row(it: Reading) -> tuple[str, ...]:
    head = (it.objective.service, str(it.objective), span(it.objective.window))
    if it.measured is None:
        return (*head, "no requests", "-", "-", "-", "-")
    return (
        *head,
        # Rounded down: what was not kept must not look as if it were.
        f"{math.floor(it.measured * 1000) / 1000:.3f} %",
        f"{it.errors:.0f} of {it.requests:.0f}",
        "-" if it.left is None else f"{math.floor(it.left * 100)} %",
        "-" if it.burn is None else f"{it.burn:.1f}",
        _spent(it),
    )


def _spent(it: Reading) -> str:
    if it.exhausted_in is None:
        return "-"
    return span(it.exhausted_in) if it.exhausted_in else "spent"


def objectives_from(given: Sequence[Mapping[str, Any]]) -> list[Objective]:
    """As they travel to a module."""
    return [Objective(**it) for it in given]
