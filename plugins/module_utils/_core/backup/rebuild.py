"""A whole environment again on bare hosts: its cluster begins as what a backup holds, and not empty."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..run import Run
from .restore_host import CONFIG
from .restore_plan import BACKUP, LATEST, aim, parse_target

# On each host as long as a rebuild is under way: of the release by which a cluster begins, and of no other.
UNDER_WAY = "config/host/from_backup"
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")


def bootstrap(stanza: str, wanted: Mapping[str, Any], repositories: int, now: datetime) -> str:
    """The command by which Patroni fills a new cluster from a backup.

    wanted: `to`, as `playbooks/restore.yml` takes it, and `repository`, its number; empty: a cluster begins
    empty, and so does the command. repositories: how many the stack has. SlipwayError says what is wrong.
    """
    if not wanted:
        return ""
    number = int(wanted.get("repository", 1))
    if not 1 <= number <= repositories:
        raise SlipwayError(
            f"repository is {number}, and the stack has {repositories}",
            "Declare stack/components/backup/second where the backups are, or name repository 1",
        )
    target = parse_target(str(wanted.get("to", LATEST)), now)
    chosen = [f"--set={target.value}"] if target.kind == BACKUP else []
    command = ["pgbackrest", f"--config={CONFIG}", f"--stanza={stanza}", f"--repo={number}"]
    return shlex.join([*command, *chosen, *aim(target), "restore"])


def make_sure_it_is_bare(run: Run, stack: str, root: Path) -> None:
    """Refuse a host that holds something of a cluster, unless a rebuild that was broken off has left it.

    root: the stack's folder on this host. A host without an engine is bare. Where databases are led already,
    a rebuild has done its part: what it would bring back beside them may be older than what is there.
    """
    code, out, err = run(["sh", "-c", "! command -v docker > /dev/null || docker volume ls --quiet"])
    if code:
        raise SlipwayError(
            f"the engine does not say what this host holds: {err.strip()[-200:]}",
            "Let it answer (`docker volume ls`), and rebuild again",
        )
    held = sorted({f"{stack}_postgres", f"{stack}_etcd"} & set(out.split()))
    if not held:
        return
    if (root / UNDER_WAY).exists():
        _refuse_a_leader(run, f"{stack}-postgres-1")
        return
    raise SlipwayError(
        f"this host holds a cluster already (volume {held[0]}), and a rebuild is for hosts that hold none",
        "To return what is there to an earlier moment: playbooks/restore.yml. If it is lost for good, empty "
        "the environment's hosts first: docs/runbooks/rebuild.md",
    )


def _refuse_a_leader(run: Run, container: str) -> None:
    ask = ["curl", "--silent", "--fail", "--max-time", "4", "--cacert", "/config/tls/ca.crt", "--output"]
    code, _out, _err = run(["docker", "exec", container, *ask, "/dev/null", "https://localhost:8008/leader"])
    if not code:
        raise SlipwayError(
            "the databases were restored already, and are led by this host",
            "Go on with an ordinary deployment (deploy.yml); what comes after it: docs/runbooks/rebuild.md",
        )


def reached(run: Run, container: str) -> str:
    """Time of the last transaction that this member has restored, in PostgreSQL's words; "": it has not."""
    _code, out, err = run(["docker", "logs", container])
    found = _LAST.findall(out + err)
    return found[-1] if found else ""
