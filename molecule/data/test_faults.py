"""What befalls the primary, under a ledger: nothing acknowledged is lost, and how long writes wait is told.

SLIPWAY_FAULTS: how often each fault is repeated (1). `pytest -v -s molecule/data/test_faults.py`
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator

import pytest
from cluster_under_test import Members
from faults import unplugged
from ledger_under_test import Ledger, Reported
from site_under_test import Machine, site_under_test
from waiting import eventually

from lab import Lab

pytestmark = pytest.mark.by_hand

TIMES = range(int(os.environ.get("SLIPWAY_FAULTS", "1")))
gaps: dict[str, list[float]] = {}


@pytest.fixture(scope="module", autouse=True)
def medians() -> Iterator[None]:
    yield
    for fault, seconds in gaps.items():
        print(f"\n{fault}: waited {statistics.median(seconds):.1f} s (median of {sorted(seconds)})")


def proven(ledger: Ledger, fault: str, reported: Reported) -> None:
    figures = ledger.end()
    reported(figures)
    assert (figures["lost"], figures["duplicated"], figures["altered"]) == (0, 0, 0)
    assert figures["present"] == figures["acknowledged"] > 0
    assert figures["faults"][0]["rto"] is not None, "writes did not come back"
    assert figures["reads"] and figures["reads_back"], "reads did not come back"
    gaps.setdefault(f"{fault}, writes", []).append(figures["longest_gap"])
    gaps.setdefault(f"{fault}, reads", []).append(figures["longest_read_gap"])


@pytest.mark.parametrize("number", TIMES)
def test_the_primary_is_killed(members: Members, ledger: Ledger, reported: Reported, number: int) -> None:
    leader = members.leader
    started = members.sql(leader, "SELECT pg_postmaster_start_time()")
    ledger.mark(f"primary killed, {number}")
    members.inside(leader, "sh -c 'kill -KILL $(head -1 /var/lib/postgresql/17/main/postmaster.pid)'")
    members.until_whole()
    assert members.leader != leader or members.sql(leader, "SELECT pg_postmaster_start_time()") != started
    proven(ledger, "killed", reported)


@pytest.mark.parametrize("number", TIMES)
def test_the_primarys_host_is_lost(
    primary: Machine, members: Members, ledger: Ledger, reported: Reported, number: int
) -> None:
    ledger.mark(f"primary's host unplugged, {number}")
    with unplugged(primary):
        assert eventually(lambda: new_leader(members, primary), bool, seconds=60)
    # The old primary rewinds, or is cloned anew, by itself.
    members.until_whole()
    proven(ledger, "unplugged", reported)


@pytest.fixture
def primary(lab: Lab, whole: None, members: Members) -> Machine:
    """Clients come in through the first host, which therefore stays."""
    first = next(iter(lab.hosts))
    if members.leader == first:
        members.inside(
            first, f"patronictl switchover {members.stack} --candidate {members.replicas[0]} --force"
        )
        members.until_whole()
    return next(machine for machine in site_under_test().machines if machine.name == members.leader)


def new_leader(members: Members, lost: Machine) -> str:
    found = [it["Member"] for it in members.list() if it["Role"] == "Leader" and it["State"] == "running"]
    return next((name for name in found if name != lost.name), "")
