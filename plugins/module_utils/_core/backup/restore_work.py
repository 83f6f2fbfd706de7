"""The steps of a restore, each on one host, as `playbooks/restore.yml` puts them in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..errors import SlipwayError
from ..host_job import Say
from ..postgresql import sql
from ..postgresql.postgres import Psql
from ..retry import Patience
from ..stack.postgres_version import OLDEST
from .backup_repository import Repository
from .backup_wal import timeline
from .backups import newest
from .restore_host import RestoreHost
from .restore_plan import RestorePlan, parse_target, plan_restore

DAY = 86_400
# Seconds that a member may take to start and to lead.
_LEADS = 300


def planned(
    repository: Repository,
    to: str,
    now: datetime,
    *,
    label: str = "",
    line: str = "",
    source: int = 1,
    version: int = OLDEST,
) -> RestorePlan:
    """Choose the backup and check what leads from it to the moment.

    source: number of the repository. version: that the stack has.
    """
    info, target = repository.info(), parse_target(to, now)
    backups = info.of(source)
    first = newest(backups)
    if info.version != str(version):
        raise SlipwayError(
            f"the backups are of PostgreSQL {info.version}, and {version} shall run them",
            "Deploy a release with that version first, then upgrade: docs/runbooks/postgres-major-upgrade.md",
        )
    files = repository.files(first.archive, first.repository)
    along = repository.line(first.archive, first.repository, files, int(line or 0))
    usable = replace(info, backups=tuple(it for it in backups if it.archive == first.archive))
    return plan_restore(usable, files, along, target, label=label)


def mark(psql: Psql, name: str, patience: Patience) -> tuple[str, str]:
    """A restore point of what serves now, in the archive before this returns: its name, and its timeline."""
    point = f"slipway_before_{name}"
    # Not of what is switched: where that was done a moment ago, it is a segment that nothing may fill.
    segment = psql.ask(f"SELECT pg_walfile_name(pg_create_restore_point({sql.literal(point)}));")
    psql.ask("SELECT pg_switch_wal();")
    last = "coalesce(left(last_archived_wal, 24), '')"
    arrived = f"SELECT {last} >= {sql.literal(segment)} FROM pg_stat_archiver;"
    while psql.ask(arrived) != "t":
        if not patience.again():
            raise SlipwayError(
                f"WAL segment {segment} does not reach the repository", "See docs/runbooks/backups.md"
            )
    return point, str(timeline(segment))


def restored(host: RestoreHost, params: Mapping[str, Any], say: Say = lambda _line: None) -> dict[str, Any]:
    """A copy beside what serves, as planned; nothing of it is left where that fails."""
    plan = params["plan"]
    free = host.free()
    if free < int(plan["needed"]):
        host.close()
        raise SlipwayError(
            f"the disk is full: the restore needs {int(plan['needed']) >> 20} MB beside what is there, "
            f"{free >> 20} MB are free",
            "Make room on this host (`df -h /var/lib/docker`); what serves is untouched",
        )
    say(f"pgBackRest copies {int(plan['bytes']) >> 20} MB of {plan['backup']}")
    try:
        found = host.restore(list(plan["arguments"]), DAY, say)
    except (SlipwayError, OSError):  # of `say`, too
        # What is left of it lies on the disk of a member that serves.
        host.discard()
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
    """Until the copy leads, the data that served before can still take their place again."""
    host.settle()
    try:
        kept = host.swap(params["id"])
        host.remember_promotion()
        host.forget_cluster(params["stack"])
        host.start_member()
        host.until_leader(_LEADS)
    except SlipwayError as error:
        _swap_back(host, params["id"], error)
        raise
    host.close()
    return {"kept": kept}


def _swap_back(host: RestoreHost, kept: str, cause: SlipwayError) -> None:
    """What served before takes its place again; where it cannot, both reasons are told, and where it is."""
    try:
        host.stop_member()
        host.swap_back(kept)
    except SlipwayError as error:
        raise SlipwayError(
            f"{cause.problem}; what served before could not take its place again: {error.problem}",
            f"It is whole in the volume of PostgreSQL: as {host.kept(kept)}, or still in its place where "
            "that is not there. See docs/runbooks/backups.md",
        ) from cause


def _joined(host: RestoreHost, _params: Mapping[str, Any]) -> dict[str, Any]:
    host.empty()
    host.start_member()
    return {}


def _given_up(host: RestoreHost, params: Mapping[str, Any]) -> dict[str, Any]:
    if host.is_swapped(params["id"]):
        # It was not taken back when it failed. A copy that is started here would lead, and undo the others.
        host.stop_member()
        host.swap_back(params["id"])
    host.discard()
    host.start_member()
    if params["first"]:
        host.until_leader(_LEADS)
    return {}


STEPS: Mapping[str, Callable[[RestoreHost, Mapping[str, Any]], dict[str, Any]]] = {
    "restored": restored,
    "stopped": _stopped,
    "swapped": _swapped,
    "joined": _joined,
    "given_up": _given_up,
}
