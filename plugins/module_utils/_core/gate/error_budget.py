"""Whether the services that a release changes have an error budget left to change them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from ..errors import SlipwayError
from ..monitoring.slo import FEW_ERRORS
from ..prometheus import Series
from ..refusals import Refusal

QUERY = f"slipway_slo_budget_left:ratio <= 0 and slipway_slo_errors:count_window >= {FEW_ERRORS}"
# Seconds. It stands on the host that asks, and a release does not wait for it.
DEADLINE = 2.0

_REMEDY = (
    "Make it reliable first, or wait until it was for long enough (docs/runbooks/slo.md); if the release is "
    "the cure, or cannot wait: -e release_without_budget=true"
)


def spent(ask: Callable[[str], Sequence[Series]], warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every budget that is gone: its service and objective, and which share of it was spent.

    A Prometheus that does not answer is no reason to hold a release: this one may bring it back.
    """
    try:
        found = ask(QUERY)
    except SlipwayError as error:
        warn(f"{error.problem}; the release goes on without asking for error budgets")
        return []
    return [
        {
            "service": one.labels.get("service", ""),
            "objective": one.labels.get("objective", ""),
            "spent": 1 - one.samples[-1][1],
        }
        for one in found
    ]


def refusals(gone: Sequence[Mapping[str, Any]], changing: Set[str]) -> list[Refusal]:
    """Why the services that change must not: of others, the release makes nothing worse."""
    return [
        Refusal(
            "error budget",
            f"{it['service']} has spent {100 * it['spent']:.0f} % of its error budget ({it['objective']})",
            _REMEDY,
        )
        for it in gone
        if it["service"] in changing
    ]
