"""Which of the releases that a host has serves, and which one it goes back to."""

from __future__ import annotations

import json
from typing import Any

from ..errors import SlipwayError
from ..history.record import RUNNING
from ..history.record_store import FOLDER, History
from ..stack.data_placement import PLACEMENT
from ..tree import IMAGES, ReleaseTree


def served(tree: ReleaseTree) -> dict[str, Any]:
    """`release`: the id of what serves; `images`: its components and services, with their references."""
    folder = tree.release(tree.current) if tree.current else None
    if folder is None or not (folder / IMAGES).exists():
        raise SlipwayError(f"no release serves on this host ({tree.root}/current)", "Deploy first")
    return {"release": tree.current, "images": json.loads((folder / IMAGES).read_text(encoding="utf-8"))}


def placement(tree: ReleaseTree) -> dict[str, list[str]]:
    """Where the release that serves keeps data; empty where there is none, or it is too old to say."""
    file = tree.release(tree.current) / PLACEMENT if tree.current else None
    if file is None or not file.exists():
        return {}
    said: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return said


def previous(tree: ReleaseTree) -> str:
    """The release before the current one; where a run died on its way to another, the current one."""
    newest = next(iter(History(tree.root / FOLDER).newest(1)), None)
    died = newest and newest.outcome == RUNNING and newest.release != tree.current
    target = tree.current if died else tree.previous
    if not target:
        raise SlipwayError(
            "no release was there before the current one on this host",
            "Name one: -e to=<id> (playbooks/history.yml)",
        )
    return target
