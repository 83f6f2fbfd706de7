"""What a benchmark of backups has measured, as a table and a verdict."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# A restore may take so many times as long as a copy of the same files; recovery comes on top.
AIM = 1.5
HEAD = ("what", "seconds, median", "each run", "MB/s of the data", "MB written", "times `cp`")


@dataclass
class Row:
    """One way and how long it took in each run. written: bytes, of the last run."""

    what: str
    seconds: list[float] = field(default_factory=list)
    written: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def markdown(rows: Sequence[Row], recoveries: Sequence[Row], copy: Row, data: int) -> str:
    """A Markdown table. data: bytes that each of `rows` has moved; recoveries replayed WAL instead."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    for row in rows:
        speed, ratio = (data >> 20) / row.median, row.median / copy.median
        lines.append(_line([*_cells(row), f"{speed:.1f}", f"{row.written >> 20}", f"{ratio:.2f}"]))
    for row in recoveries:
        lines.append(_line([*_cells(row), "-", f"{row.written >> 20} of WAL", "-"]))
    return "\n".join(lines)


def verdict(restore: Row, copy: Row) -> str:
    ratio = restore.median / copy.median
    met = "met" if ratio <= AIM else "missed"
    return f"{restore.what}: {ratio:.2f} times {copy.what}. The aim, at most {AIM}, is {met}"


def _cells(row: Row) -> list[str]:
    return [
        row.what.replace("|", "\\|"),
        f"{row.median:.1f}",
        ", ".join(f"{value:.1f}" for value in row.seconds),
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
