"""PostgreSQL streams to every replica, encrypted, and at least one of them confirms each commit."""

from __future__ import annotations

import json
import secrets
from functools import partial

import pytest
from waiting import eventually

from lab import Lab

TABLE = "slipway_system_test"


def query(lab: Lab, host: str, statement: str) -> str:
    return lab.in_container(host, "postgres", f'psql --no-psqlrc -At -c "{statement}"')


@pytest.fixture(scope="module")
def members(lab: Lab) -> dict[str, str]:
    """Role by host, as Patroni tells any of them."""
    command = "curl --fail --silent --cacert /config/tls/ca.crt https://localhost:8008/cluster"
    told = json.loads(lab.in_container(lab.host_of("postgres"), "postgres", command))
    return {member["name"]: member["role"] for member in told["members"]}


@pytest.fixture(scope="module")
def leader(members: dict[str, str]) -> str:
    leaders = [name for name, role in members.items() if role == "leader"]
    assert len(leaders) == 1, f"exactly one host must lead: {members}"
    return leaders[0]


def test_what_is_written_on_the_primary_is_read_on_every_replica_within_seconds(
    lab: Lab, members: dict[str, str], leader: str
) -> None:
    assert set(members) == set(lab.addresses)
    value = secrets.token_hex(8)
    create = f"CREATE TABLE IF NOT EXISTS {TABLE} (value text); INSERT INTO {TABLE} VALUES ('{value}')"
    query(lab, leader, create)
    try:
        for replica in members.keys() - {leader}:
            assert query(lab, replica, "SELECT pg_is_in_recovery()") == "t", replica
            # The primary's commit is ahead of a replica's replay by a moment, and the table may be new to it.
            rows = f"query_to_xml('SELECT * FROM {TABLE}', true, false, '')"
            look = f"SELECT {rows} WHERE to_regclass('{TABLE}') IS NOT NULL"
            seen = eventually(partial(query, lab, replica, look), lambda rows: value in rows, seconds=60)
            assert value in seen, f"{replica} has not received what {leader} wrote"
    finally:
        query(lab, leader, f"DROP TABLE {TABLE}")


def test_every_replica_streams_over_tls(lab: Lab, members: dict[str, str], leader: str) -> None:
    statement = (
        "SELECT application_name, state, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) ORDER BY 1"
    )
    expected = [f"{name}|streaming|t" for name in sorted(members.keys() - {leader})]
    look = partial(query, lab, leader, statement)
    assert eventually(look, lambda it: it.splitlines() == expected, seconds=60).splitlines() == expected


def test_a_commit_waits_for_at_least_one_replica(lab: Lab, leader: str) -> None:
    assert query(lab, leader, "SHOW synchronous_standby_names") != ""

    def states() -> set[str]:
        return set(query(lab, leader, "SELECT sync_state FROM pg_stat_replication").splitlines())

    assert eventually(states, lambda seen: bool({"sync", "quorum"} & seen), seconds=60) & {"sync", "quorum"}
