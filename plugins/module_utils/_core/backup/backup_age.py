"""Whether the newest backup is young enough for a release to begin, as its host remembers it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from ..errors import SlipwayError
from .backup_report import Reports

_REMEDY = (
    "Take one: playbooks/backup.yml (docs/runbooks/backups.md); if the release is the cure, or cannot wait: "
    "-e release_without_backup=true"
)


def look(root: Path, most: timedelta, now: datetime) -> None:
    """Refuse where a repository's newest backup ended longer ago than `most`, or where the first one failed.

    Before the first has ended there is nothing to say: it begins when a stack that declares backups serves.
    """
    reports = Reports(root)
    newest, last = reports.newest(), reports.last_run()
    if not newest and last and not last.ok:
        raise SlipwayError(f"no backup has ever been made; the last attempt: {last.reason}", _REMEDY)
    old = [
        f"in repository {number} {_told(now - ended)}"
        for number, ended in newest.items()
        if now - ended > most
    ]
    if old:
        problem = f"the newest backup is too old: {', '.join(old)}, at most {_told(most)} are allowed"
        raise SlipwayError(problem, _REMEDY)


def _told(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} hours"
