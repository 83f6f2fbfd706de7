"""What was measured, as a table to read and as JSON to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reckoning import Row

HEAD = (
    "way",
    "move",
    "seconds",
    "of that the command",
    "floor",
    "ratio",
    "last answer of the release that went, s",
    "failed / sent",
    "slowest, s",
)


def markdown(rows: Sequence[Row], left_out: Mapping[str, str]) -> str:
    """A Markdown table, and a line for each way that could not be tried."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD)), *(_line(_cells(row)) for row in rows)]
    missing = [f"Not measured: {name}. {why}" for name, why in left_out.items()]
    return "\n".join([*lines, *([""] if missing else []), *missing]) + "\n"


def document(
    rows: Sequence[Row], left_out: Mapping[str, str], conditions: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "conditions": dict(conditions),
        "rows": [row.as_dict() for row in rows],
        "left_out": dict(left_out),
    }


def _cells(row: Row) -> list[str]:
    by_method = ", ".join(f"{count} {method}" for method, count in sorted(row.failed_by_method.items()))
    return [
        row.way,
        row.what,
        f"{row.seconds:.1f}",
        f"{row.command:.1f}",
        f"{row.floor:.1f}",
        "-" if row.ratio is None else f"{row.ratio:.1f}",
        f"{row.last_old:.1f}",
        f"{row.failed} / {row.sent}" + (f" ({by_method})" if by_method else ""),
        f"{row.slowest:.2f}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
