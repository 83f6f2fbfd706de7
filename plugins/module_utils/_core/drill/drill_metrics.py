"""What the newest run of each drill came to, for the monitoring. Each drill has a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import textfile
from ..textfile import Sample

FOLDER = "state/metrics"
HELP = {
    "slipway_drill_ended_seconds": "gauge When the newest run of the drill ended, in seconds since 1970.",
    "slipway_drill_ok": "gauge Whether it cost no more than the stack allows.",
    "slipway_drill_rto_seconds": "gauge How long no write was taken. Missing where writes never came back.",
    "slipway_drill_rpo_seconds": "gauge Between the first and the last acknowledged write that was lost.",
    "slipway_drill_well_seconds": "gauge Until all was well again. Missing where that was not waited out.",
}


@dataclass(frozen=True)
class Result:
    """ended: seconds since 1970. rto, rpo, well: seconds; None: never."""

    ended: float
    ok: bool
    rto: float | None
    rpo: float
    well: float | None


def samples(drill: str, result: Result) -> Iterator[Sample]:
    label = f'drill="{drill}"'
    yield "slipway_drill_ended_seconds", label, round(result.ended)
    yield "slipway_drill_ok", label, int(result.ok)
    if result.rto is not None:
        yield "slipway_drill_rto_seconds", label, result.rto
    yield "slipway_drill_rpo_seconds", label, result.rpo
    if result.well is not None:
        yield "slipway_drill_well_seconds", label, result.well


def write(root: Path, drill: str, result: Result) -> None:
    """root: the stack's folder on this host, which was provisioned."""
    textfile.write(root / FOLDER / f"drill_{drill}.prom", textfile.text(samples(drill, result), HELP))
