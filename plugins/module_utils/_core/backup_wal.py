"""Which WAL a repository holds, and what is missing in it. Pure.

A segment's name has 24 hexadecimal digits: timeline, log, segment; segments are of 16 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_FILE = re.compile(r"(?:.*/)?([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?")
_PER_LOG = 0x100


def segments(paths: Iterable[str]) -> list[str]:
    """The segments among the files of an archive folder, each once, in order."""
    return sorted({match[1] for path in paths if (match := _FILE.fullmatch(path))})


def timeline(segment: str) -> int:
    return int(segment[:8], 16)


def number(segment: str) -> int:
    """Position in the stream, the same on every timeline."""
    return int(segment[8:16], 16) * _PER_LOG + int(segment[16:], 16)


def name(line: int, position: int) -> str:
    return f"{line:08X}{position // _PER_LOG:08X}{position % _PER_LOG:08X}"


def holes(found: Sequence[str], first: str) -> list[str]:
    """Segments that recovery from `first` on will miss: gaps within a timeline, and before it begins.

    What is older than `first` is needed by nobody.
    """
    lines = _lines(segment for segment in found if number(segment) >= number(first))
    missing = []
    # Where the timelines before ended: a new one begins within, or right after, what they have.
    reached = number(first) - 1
    for line, positions in sorted(lines.items()):
        begin = min(reached + 1, *positions)
        missing += [name(line, it) for it in range(begin, max(positions)) if it not in positions]
        reached = max(reached, *positions)
    return missing or ([] if lines else [first])


def _lines(found: Iterable[str]) -> Mapping[int, set[int]]:
    lines: dict[int, set[int]] = {}
    for segment in found:
        lines.setdefault(timeline(segment), set()).add(number(segment))
    return lines


def spans(missing: Sequence[str]) -> str:
    """Neighbours as a range, for a reader."""
    groups: list[list[str]] = []
    for segment in missing:
        last = groups[-1][-1] if groups else ""
        if last and timeline(last) == timeline(segment) and number(segment) == number(last) + 1:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return ", ".join(group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)
