"""A report of PostgreSQL's inside on a real server; restarts that a parameter waits for, under a ledger."""

from __future__ import annotations

import pytest
from cluster_under_test import Members
from ledger_under_test import Ledger, Reported
from waiting import eventually

from lab import Lab

# None that a stack sets cluster-wide: the primary's callback brings those back to what is declared.
PARAMETER = "max_logical_replication_workers"


def pending(members: Members, value: str) -> None:
    """Let a parameter wait for a restart on all members, as a deployment that changes it does."""
    change = f"{PARAMETER}={value}"
    members.inside(members.leader, f"patronictl edit-config {members.stack} --force -p {change}")
    expected = sorted(it["Member"] for it in members.list())
    assert eventually(members.pending, lambda found: found == expected, seconds=60) == expected


def test_the_report_tells_of_every_database_extension_and_role(lab: Lab, members: Members) -> None:
    told = lab.playbook("playbooks/postgres_maintenance.yml").stdout
    version = members.sql(members.leader, "SHOW server_version").split()[0]
    assert f"PostgreSQL {version}" in told
    names = members.sql(members.leader, "SELECT datname FROM pg_database WHERE datallowconn").split()
    assert all(f"database {name}: " in told for name in names)
    assert "role postgres: superuser" in told
    assert "plpgsql 1.0" in told
    assert "changed=0" in told


@pytest.mark.by_hand
@pytest.mark.parametrize(
    "setting", [pytest.param(("6", "6"), id="changed"), pytest.param(("null", "4"), id="taken-back")]
)
def test_members_restart_one_after_the_other_and_no_write_is_lost(
    lab: Lab, members: Members, ledger: Ledger, reported: Reported, setting: tuple[str, str]
) -> None:
    value, expected = setting
    pending(members, value)
    dry = lab.playbook("playbooks/postgres_maintenance.yml", "-e", "restart=true", "--check").stdout
    assert f"{members.leader}: hands over" in dry
    before = members.leader
    ledger.mark("rolling restart")
    lab.playbook("playbooks/postgres_maintenance.yml", "-e", "restart=true", timeout=900)
    assert eventually(members.pending, lambda found: not found, seconds=30) == []
    assert members.leader != before
    hosts = [it["Member"] for it in members.list()]
    assert {members.sql(host, f"SHOW {PARAMETER}") for host in hosts} == {expected}
    figures = ledger.end()
    reported(figures)
    assert (figures["lost"], figures["duplicated"], figures["altered"]) == (0, 0, 0)
