"""A backup is proven; a dropped table comes back from a copy, then the whole cluster to before the drop."""

from __future__ import annotations

import time

import pytest
from cluster_under_test import Members
from edge import Edge
from waiting import eventually

from lab import Lab

ROWS = 1_234
MOMENT = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\\\"T\\\"HH24:MI:SS.US\\\"Z\\\"')"


class Wayfare:
    """The application's database, as the leader has it."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def sql(self, statement: str) -> str:
        command = f'psql --no-psqlrc -Atq -d wayfare -c "{statement}"'
        return self._members.inside(self._members.leader, command).strip()

    def there(self) -> bool:
        return self.sql("SELECT to_regclass('kept_safe') IS NOT NULL") == "t"


@pytest.fixture(scope="module")
def wayfare(members: Members) -> Wayfare:
    return Wayfare(members)


@pytest.fixture(scope="module")
def dropped(wayfare: Wayfare, lab: Lab) -> str:
    """The moment before a table was dropped; what was written is in the archive."""
    wayfare.sql("DROP TABLE IF EXISTS kept_safe")
    wayfare.sql(f"CREATE TABLE kept_safe AS SELECT generate_series(1, {ROWS}) AS id")
    lab.playbook("playbooks/backup.yml")
    wayfare.sql(f"INSERT INTO kept_safe SELECT generate_series({ROWS + 1}, {2 * ROWS})")
    # Commits have times of their own: a second on either side, none shares the moment's.
    time.sleep(1)
    moment = wayfare.sql(MOMENT)
    time.sleep(1)
    wayfare.sql("DROP TABLE kept_safe")
    # Of the segment that ends here: a moment later the next one may have been begun.
    last = wayfare.sql("SELECT pg_walfile_name(pg_switch_wal())")
    archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
    assert eventually(lambda: wayfare.sql(archived), lambda name: name >= last, seconds=300) >= last
    return moment


def test_a_backup_is_proven_by_restoring_it(lab: Lab, dropped: str) -> None:
    told = lab.playbook("playbooks/verify_backups.yml").stdout
    assert "assertion journeys: well" in told
    assert "s to restore (RTO)" in told
    print(next(line for line in told.splitlines() if "(RTO)" in line))


def test_a_dropped_table_is_read_from_a_copy_beside_what_serves(
    lab: Lab, members: Members, wayfare: Wayfare, dropped: str
) -> None:
    told = lab.playbook("playbooks/restore.yml", "-e", f"to={dropped}", "-e", "side=true").stdout
    copy = f"{members.stack}-postgres-1-restore"
    (host,) = [name for name in lab.hosts if copy in lab.hosts[name].check_output("docker ps")]
    assert f"The copy answers in the container {copy} on {host}" in " ".join(told.split())
    count = "psql -h /tmp -U postgres -XAtq -d wayfare -c 'SELECT count(*) FROM kept_safe'"
    assert lab.hosts[host].check_output(f"docker exec {copy} {count}").strip() == str(2 * ROWS)
    assert not wayfare.there()
    lab.playbook("playbooks/restore.yml", "-e", "side=removed")
    assert copy not in lab.hosts[host].check_output("docker ps --all")


def test_the_whole_cluster_goes_back_to_before_the_drop(
    lab: Lab, members: Members, wayfare: Wayfare, edge: Edge, dropped: str
) -> None:
    refused = lab.playbook("playbooks/restore.yml", "-e", f"to={dropped}", check=False)
    assert refused.returncode != 0
    assert f"-e confirm={members.stack}" in " ".join(refused.stdout.split())
    begun = time.monotonic()
    told = lab.playbook(
        "playbooks/restore.yml", "-e", f"to={dropped}", "-e", f"confirm={members.stack}"
    ).stdout
    print(f"restored, whole and backed up again after {time.monotonic() - begun:.1f} s")
    assert "Lost is what was committed after it" in " ".join(told.split())
    members.until_whole()
    assert wayfare.sql("SELECT count(*) FROM kept_safe") == str(2 * ROWS)
    assert eventually(lambda: edge.get("/api/me").status, lambda status: status == 200, seconds=60) == 200
    lab.playbook("playbooks/verify_backups.yml")
    wayfare.sql("DROP TABLE kept_safe")
