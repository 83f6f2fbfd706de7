"""Which WAL a repository holds, and what is missing in it. Pure.

A segment's name has 24 hexadecimal digits: timeline, log, segment; segments are of 16 MB. A timeline begins
where a server was promoted, within a segment that it has whole; its history tells of it and of all before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_FILE = re.compile(r"(?:.*/)?([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?")
_HISTORY = re.compile(r"(?:.*/)?([0-9A-F]{8})\.history")
_ANCESTOR = re.compile(r"^\s*(\d+)\s+([0-9A-F]+)/([0-9A-F]+)", re.MULTILINE)
_PER_LOG = 0x100
_SEGMENT_BITS = 24


@dataclass(frozen=True)
class Line:
    """A timeline, and where each of those before it was left: timeline -> position in bytes."""

    number: int
    left: Mapping[int, int] = field(default_factory=dict)

    def holds(self, line: int, position: int) -> bool:
        """Whether what was written on a timeline up to a position is part of this one."""
        return line == self.number or position <= self.left.get(line, -1)

    def of(self, position: int) -> int:
        """The timeline whose segment holds a position (in segments)."""
        for line, end in sorted(self.left.items()):
            if position < end >> _SEGMENT_BITS:
                return line
        return self.number


def bytes_of(lsn: str) -> int:
    """Position in bytes of what PostgreSQL writes as `0/5000028`."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def history(line: int, text: str) -> Line:
    """A timeline from its history file; one without is the first."""
    found = {int(number): bytes_of(f"{high}/{low}") for number, high, low in _ANCESTOR.findall(text)}
    return Line(line, found)


def segments(paths: Iterable[str]) -> list[str]:
    """The segments among the files of an archive folder, each once, in order."""
    return sorted({match[1] for path in paths if (match := _FILE.fullmatch(path))})


def newest_line(paths: Iterable[str]) -> int:
    """The timeline that recovery follows unless it is told another; 0: there is no WAL."""
    found = [match[1] for path in paths if (match := _HISTORY.fullmatch(path) or _FILE.fullmatch(path))]
    return max((int(it[:8], 16) for it in found), default=0)


def timeline(segment: str) -> int:
    return int(segment[:8], 16)


def number(segment: str) -> int:
    """Position in the stream in segments, the same on every timeline."""
    return int(segment[8:16], 16) * _PER_LOG + int(segment[16:], 16)


def name(line: int, position: int) -> str:
    return f"{line:08X}{position // _PER_LOG:08X}{position % _PER_LOG:08X}"


def holes(found: Sequence[str], first: str, line: Line) -> list[str]:
    """Segments that recovery from `first` along a timeline will miss; nobody needs older ones."""
    held = set(found)
    own = [number(it) for it in held if timeline(it) == line.number]
    # Where nothing of it has arrived yet, what comes before it is needed all the same.
    last = max(own, default=max((end >> _SEGMENT_BITS for end in line.left.values()), default=0) - 1)
    way = (name(line.of(position), position) for position in range(number(first), last + 1))
    return [segment for segment in way if segment not in held] if last >= number(first) else [first]


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
