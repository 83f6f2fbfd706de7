"""What a release changes in a host's files, for diff mode; pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ..tree import File


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


def unified(changes: Sequence[Change], confidential: Sequence[str]) -> str:
    """What is read on a terminal, and kept in logs.

    confidential: paths, or folders with a slash at the end, of which only that they change is told: their old
    text as well as their new one holds secrets, and what was rotated is valid for a while.
    """
    lines: list[str] = []
    for change in changes:
        if _hidden(change, confidential):
            what = "is new" if not change.before else "goes" if not change.after else "changes"
            lines.append(f"{change.path} {what}; it holds secrets and is not shown")
            continue
        texts = (
            change.before.splitlines(keepends=True),
            change.after.splitlines(keepends=True),
        )
        lines += difflib.unified_diff(*texts, f"current/{change.path}", f"new/{change.path}", n=1)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _hidden(change: Change, confidential: Sequence[str]) -> bool:
    # Of a file that goes nobody knows any more what it held.
    gone = change.path.startswith("config/") and not change.after
    folders = tuple(path for path in confidential if path.endswith("/"))
    return gone or change.path in confidential or change.path.startswith(folders)
