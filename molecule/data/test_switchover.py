"""The leadership moves on purpose, under a ledger; what is not safe is refused; a member is cloned anew."""

from __future__ import annotations

import pytest
from cluster_under_test import Members
from ledger_under_test import Ledger, Reported

from lab import Lab


def refused(lab: Lab, playbook: str, *arguments: str) -> str:
    done = lab.playbook(f"playbooks/{playbook}.yml", *arguments, check=False)
    assert done.returncode != 0, done.stdout
    return " ".join((done.stdout + done.stderr).split())


def test_a_dry_run_says_who_would_lead_and_moves_nothing(lab: Lab, members: Members) -> None:
    before, to = members.leader, members.replicas[0]
    told = lab.playbook("playbooks/switchover.yml", "-e", f"to={to}", "--check").stdout
    assert f"{to} leads PostgreSQL, {before} before" in told
    assert members.leader == before


def test_a_switchover_loses_no_write(lab: Lab, members: Members, ledger: Ledger, reported: Reported) -> None:
    before, to = members.leader, members.replicas[0]
    ledger.mark("switchover")
    told = lab.playbook("playbooks/switchover.yml", "-e", f"to={to}").stdout
    assert f"{to} leads PostgreSQL, {before} before" in told
    assert "no member accepted writes for" in told
    assert f"{before} streams from it" in told
    assert members.leader == to
    figures = ledger.end()
    reported(figures)
    assert figures["faults"][0]["rto"] is not None, "writes did not come back"
    assert (figures["lost"], figures["duplicated"], figures["altered"]) == (0, 0, 0)
    assert figures["present"] == figures["acknowledged"] > 0


@pytest.mark.by_hand
def test_whoever_leads_already_is_left_alone(lab: Lab, members: Members) -> None:
    told = lab.playbook("playbooks/switchover.yml", "-e", f"to={members.leader}").stdout
    assert "nothing to do" in told
    assert "changed=0" in told


def test_a_failover_is_refused_while_a_leader_is_well(lab: Lab, members: Members) -> None:
    told = refused(lab, "failover", "-e", f"to={members.replicas[0]}")
    assert "leads and is well" in told
    assert "playbooks/switchover.yml" in told
    assert "is no consent" in refused(lab, "failover", "-e", "force=another")


@pytest.mark.by_hand
def test_a_forced_failover_to_a_synchronous_member_loses_no_write(
    lab: Lab, members: Members, ledger: Ledger, reported: Reported
) -> None:
    to = members.replicas[0]
    ledger.mark("failover")
    lab.playbook("playbooks/failover.yml", "-e", f"to={to}", "-e", f"force={members.stack}")
    assert members.leader == to
    figures = ledger.end()
    reported(figures)
    assert (figures["lost"], figures["duplicated"], figures["altered"]) == (0, 0, 0)


@pytest.mark.by_hand
@pytest.mark.parametrize("playbook", ["switchover", "failover"])
def test_a_host_that_is_no_member_is_refused(lab: Lab, playbook: str) -> None:
    assert "Patroni knows no member lab-9" in refused(lab, playbook, "-e", "to=lab-9")


@pytest.mark.by_hand
def test_a_paused_cluster_is_refused_and_stays_as_it_is(lab: Lab, members: Members) -> None:
    before = members.leader
    members.inside(before, f"patronictl pause {members.stack} --wait")
    try:
        told = refused(lab, "switchover")
        assert "Patroni is paused" in told
        assert "patronictl resume" in told
        assert members.leader == before
    finally:
        members.inside(before, f"patronictl resume {members.stack} --wait")


@pytest.mark.by_hand
def test_a_replica_is_cloned_anew_while_writes_go_on(
    lab: Lab, members: Members, ledger: Ledger, reported: Reported
) -> None:
    name = members.replicas[-1]
    # Lies in the data directory until it is deleted.
    data = "/var/lib/postgresql/17/main"
    members.inside(name, f"touch {data}/slipway_system_test")
    ledger.mark("reinit")
    told = lab.playbook("playbooks/reinit.yml", "-e", f"host={name}").stdout
    assert f"{name}: cloned anew" in told
    assert "slipway_system_test" not in members.inside(name, f"ls {data}")
    figures = ledger.end()
    reported(figures)
    assert (figures["lost"], figures["duplicated"]) == (0, 0)


@pytest.mark.by_hand
def test_the_leader_is_never_cloned_anew(lab: Lab, members: Members) -> None:
    consent = ("-e", f"host={members.leader}", "-e", f"force={members.stack}")
    assert "its data are the ones that count" in refused(lab, "reinit", *consent)
