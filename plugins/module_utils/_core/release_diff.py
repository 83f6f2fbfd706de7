"""What a release changes in a host's files, for diff mode; pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from .tree import File


@dataclass(frozen=True)
class Change:
    """One file that a release changes, as its old and its new text (empty: was not, or will not be there)."""

    path: str
    before: str
    after: str


def file_changes(old: Sequence[File], new: Sequence[File]) -> list[Change]:
    before = {file.path: file for file in old}
    after = {file.path: file for file in new}
    changed = [path for path in sorted(before | after) if before.get(path) != after.get(path)]
    return [
        Change(
            path,
            before[path].content if path in before else "",
            after[path].content if path in after else "",
        )
        for path in changed
    ]


def unified(changes: Sequence[Change]) -> str:
    lines: list[str] = []
    for change in changes:
        texts = (
            change.before.splitlines(keepends=True),
            change.after.splitlines(keepends=True),
        )
        lines += difflib.unified_diff(*texts, f"current/{change.path}", f"new/{change.path}", n=1)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
