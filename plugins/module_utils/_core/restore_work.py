"""The steps of a restore, each on one host, as `playbooks/restore.yml` puts them in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from . import sql
from .backup_repository import Repository
from .backup_wal import timeline
from .errors import SlipwayError
from .postgres import Psql
from .restore_host import RestoreHost
from .restore_plan import RestorePlan, parse_target, plan_restore
from .retry import Patience

MAJOR = "17"
DAY = 86_400


def planned(
    repository: Repository, to: str, now: datetime, *, label: str = "", line: str = ""
) -> RestorePlan:
    """Choose the backup and check what leads from it to the moment."""
    info = repository.info()
    if not info.repositories:
        raise SlipwayError("the repository is empty", "Nothing was ever backed up here")
    number = info.repositories[0].number
    archives = {it.archive for it in info.of(number) if it.archive}
    files = {archive: repository.files(archive, number) for archive in archives}
    return plan_restore(info, files, parse_target(to, now), MAJOR, label=label, line=line)


def mark(psql: Psql, name: str, patience: Patience) -> tuple[str, str]:
    """A restore point of what serves now, in the archive before this returns: its name, and its timeline."""
    point = f"slipway_before_{name}"
    psql.ask(f"SELECT pg_create_restore_point({sql.literal(point)});")
    segment = psql.ask("SELECT pg_walfile_name(pg_switch_wal());")
    last = "coalesce(left(last_archived_wal, 24), '')"
    arrived = f"SELECT {last} >= {sql.literal(segment)} FROM pg_stat_archiver;"
    while psql.ask(arrived) != "t":
        if not patience.again():
            raise SlipwayError(
                f"WAL segment {segment} does not reach the repository", "See docs/runbooks/backups.md"
            )
    return point, str(timeline(segment))


def _restored(host: RestoreHost, params: Mapping[str, Any]) -> dict[str, Any]:
    plan = params["plan"]
    free = host.free()
    if free < int(plan["needed"]):
        raise SlipwayError(
            f"the disk is full: the restore needs {int(plan['needed']) >> 20} MB beside what is there, "
            f"{free >> 20} MB are free",
            "Make room on this host (`df -h /var/lib/docker`); what serves is untouched",
        )
    try:
        found = host.restore(list(plan["arguments"]), DAY)
    except SlipwayError:
        host.close()
        raise
    return {
        "newest": found.newest,
        "lsn": found.lsn,
        "seconds": found.seconds,
        "instance": host.beside,
    }


def _stopped(host: RestoreHost, _params: Mapping[str, Any]) -> dict[str, Any]:
    host.stop_member()
    return {}


def _swapped(host: RestoreHost, params: Mapping[str, Any]) -> dict[str, Any]:
    host.settle()
    kept = host.swap(params["id"])
    try:
        host.forget_cluster(params["stack"])
    except SlipwayError:
        host.swap_back(params["id"])
        raise
    host.start_member()
    host.close()
    return {"kept": kept}


def _joined(host: RestoreHost, _params: Mapping[str, Any]) -> dict[str, Any]:
    host.empty()
    host.start_member()
    return {}


def _given_up(host: RestoreHost, _params: Mapping[str, Any]) -> dict[str, Any]:
    host.discard()
    host.start_member()
    return {}


STEPS: Mapping[str, Callable[[RestoreHost, Mapping[str, Any]], dict[str, Any]]] = {
    "restored": _restored,
    "stopped": _stopped,
    "swapped": _swapped,
    "joined": _joined,
    "given_up": _given_up,
}
