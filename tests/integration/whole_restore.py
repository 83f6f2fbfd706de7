"""A restore of the whole cluster, as the playbook does it on the hosts of a test."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime

from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_repository import Repository
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_wal import newest_line
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_host import RestoreHost
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_work import (
    STEPS,
    mark,
    planned,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.member import leads, patience
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from ansible_collections.slipway.compose.plugins.module_utils._core.run import Run, process
from backup_cluster import Cluster
from interrupted import LIMIT


class Restore:
    """What roles/restore/tasks/whole.yml does on the hosts, in its order."""

    def __init__(self, cluster: Cluster, repository: Repository) -> None:
        self.cluster = cluster
        self.repository = repository
        self.moment = ""

    def host(self, number: int, run: Run = process) -> RestoreHost:
        name = self.cluster.container("postgres", number)
        network = f"container:{self.cluster.container('host', number)}"
        return RestoreHost(run, name, self.cluster.stack.name, network)

    def to(self, moment: str, name: str, run: Run = process, line: str = "") -> None:
        plan = planned(self.repository, moment, datetime.now(UTC), line=line)
        self._marked(name)
        params = {"id": name, "stack": self.cluster.stack.name, "plan": asdict(plan)}
        host, other = self.host(1, run), self.host(2, run)
        STEPS["restored"](host, params)
        leader = self._marked(f"{name}_again")
        for member in (other, host) if leader != 2 else (host, other):
            STEPS["stopped"](member, params)
        STEPS["swapped"](host, params)
        STEPS["joined"](other, params)
        self.cluster.until_led()
        self.repository.take("diff", 1)

    def line(self) -> int:
        """The newest timeline that was archived."""
        archive = self.repository.info().backups[-1].archive
        return newest_line(self.repository.files(archive, 1))

    def leads_on_a_line_of_its_own(self) -> None:
        """Nobody writes, so that the timeline to follow from here on has nothing after the moment."""
        own = int(self.cluster.sql("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"), 16)
        self.cluster.sql("SELECT pg_switch_wal()")
        limit = time.monotonic() + LIMIT
        while self.line() < own:
            assert time.monotonic() < limit, self.cluster.logs()
            time.sleep(0.3)  # between two looks

    @property
    def member(self) -> str:
        return self.cluster.container("postgres", 1)

    def _marked(self, name: str) -> int:
        """The number of the host that leads; 0: none does, which is no failure."""
        for number in (1, 2):
            psql = Psql(process, self.cluster.container("postgres", number))
            try:
                if leads(psql, 0, None):
                    mark(psql, name, patience(120))
                    return number
            except SlipwayError:
                continue
        return 0
