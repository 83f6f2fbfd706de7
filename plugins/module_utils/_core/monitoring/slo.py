"""Objectives of services, as rules and reports need them: what is bad, and what share of it is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..stack.model_service import Service

AVAILABILITY, LATENCY = "availability", "latency"
# So many bad requests are no reason to wake anybody, nor to hold a release, whatever share of all they are.
FEW_ERRORS = 10
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True)
class BurnRate:
    """A budget is spent `rate` times as fast as it may: over the `long` window, still in the `short`."""

    rate: float
    long: str
    short: str


# Windows in which burn rates are measured, in minutes.
WINDOWS = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320}
# Google's Site Reliability Workbook, chapter 5: of a budget of 30 days, 2 % in an hour and 5 % in 6 hours
# wake somebody, 10 % in a day or in 3 days can wait for the morning.
BURN_RATES: Mapping[str, tuple[BurnRate, ...]] = {
    "critical": (BurnRate(14.4, "1h", "5m"), BurnRate(6, "6h", "30m")),
    "warning": (BurnRate(3, "1d", "2h"), BurnRate(1, "3d", "6h")),
}


@dataclass(frozen=True)
class Objective:
    """One promise of a service: `percent` of its requests are good, over the last `window` seconds.

    within: milliseconds in which a request must be answered to be good; None: at all, and without 5xx.
    """

    service: str
    percent: float
    window: int
    within: int | None = None

    @property
    def name(self) -> str:
        return AVAILABILITY if self.within is None else LATENCY

    @property
    def allowed(self) -> float:
        """The share of requests that may be bad."""
        return round(1 - self.percent / 100, 7)

    @property
    def bound(self) -> str:
        """The upper bound of the histogram's bucket as a regular expression: 1 is `1.0` to Prometheus 3."""
        seconds = (self.within or 0) / 1000
        return f"{seconds:g}" + ("([.]0)?" if seconds.is_integer() else "")

    def __str__(self) -> str:
        good = "without an error" if self.within is None else f"within {self.within} ms"
        return f"{self.percent:g} % {good}"


def objectives(services: Mapping[str, Service]) -> list[Objective]:
    """Every objective of every service, in the order in which they are declared."""
    found = []
    for service in services.values():
        slo = service.slo
        if slo and slo.availability is not None:
            found.append(Objective(service.name, slo.availability, slo.window))
        if slo and slo.latency:
            found.append(Objective(service.name, slo.latency.percent, slo.window, slo.latency.within))
    return found


def span(seconds: float) -> str:
    """A time in its largest unit: `30 days`, `5 hours`."""
    size, unit = next(it for it in _UNITS if seconds >= it[0] or it is _UNITS[-1])
    count = math.floor(seconds / size)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
