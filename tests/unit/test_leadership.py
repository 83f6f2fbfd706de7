"""Who may lead PostgreSQL, why others may not, and how long nobody did."""

from __future__ import annotations

from contextlib import suppress

import pytest
from ansible_collections.slipway.compose.plugins.action.postgres_leader import acting
from ansible_collections.slipway.compose.plugins.module_utils._core.docker import commands
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import leadership
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.leadership import Cluster, Move
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.leadership_watch import (
    Sample,
    Watch,
    interruption,
    two_at_once,
)

LAG = 1000


def member(name, role="quorum_standby", state="streaming", lag=0, **more):
    told = {"name": name, "role": role, "state": state, "timeline": 3, **more}
    return told if role == "leader" else {**told, "lag": lag}


def leader(name="a", **more):
    return member(name, "leader", "running", **more)


def cluster(*members, mode="quorum", **more):
    return Cluster.parse({"members": list(members), **more}, {"synchronous_mode": mode})


THREE = cluster(leader(), member("b", lag=20), member("c", lag=10))


def reasons(call, *arguments, **more):
    with pytest.raises(InvalidInputError) as refused:
        call(*arguments, **more)
    assert all(problem.remedy for problem in refused.value.problems)
    return [problem.problem for problem in refused.value.problems]


def test_without_a_name_the_best_follower_leads():
    assert leadership.switchover(THREE, "", LAG) == Move("a", "c")


def test_a_synchronous_one_is_better_than_one_that_lags_less():
    two = cluster(leader(), member("b", "replica", lag=0), member("c", "sync_standby", lag=10), mode=True)
    assert leadership.switchover(two, "", LAG) == Move("a", "c")


def test_who_leads_already_need_not_be_moved():
    assert leadership.switchover(THREE, "a", LAG) is None
    assert leadership.failover(THREE, "a", LAG, forced=True) is None


@pytest.mark.parametrize(
    ("found", "to", "reason"),
    [
        pytest.param(THREE, "d", "Patroni knows no member d", id="unknown"),
        pytest.param(cluster(leader()), "", "no other member could lead", id="no-candidate"),
        pytest.param(
            cluster(leader(), member("b", state="starting")), "b", "b is starting, not streaming", id="ill"
        ),
        pytest.param(cluster(leader(), member("b", lag=1001)), "b", "the lag of b is 1001 bytes", id="lag"),
        pytest.param(
            cluster(leader(), member("b", lag="unknown")), "b", "the lag of b is unknown", id="no-lag"
        ),
        pytest.param(
            cluster(leader(), member("b", "replica"), member("c")),
            "b",
            "b is not synchronous: it may lack acknowledged writes",
            id="not-synchronous",
        ),
        pytest.param(
            cluster(leader(), member("b", tags={"nofailover": True})),
            "b",
            "b is tagged never to lead",
            id="barred",
        ),
        pytest.param(cluster(leader(), member("b"), pause=True), "b", "Patroni is paused", id="paused"),
        pytest.param(
            cluster(member("a"), member("b")), "b", "there is no leader that could hand over", id="leaderless"
        ),
        pytest.param(
            cluster(member("a", "leader", "crashed"), member("b")),
            "b",
            "there is no leader that could hand over",
            id="leader-down",
        ),
    ],
)
def test_a_switchover_that_would_lose_or_fail_is_refused(found, to, reason):
    assert reasons(leadership.switchover, found, to, LAG) == [reason]


def test_all_reasons_are_told_at_once():
    bad = cluster(leader(), member("b", "replica", lag=5000), member("c"), pause=True)
    assert len(reasons(leadership.failover, bad, "b", LAG, forced=False)) == 4


def test_where_nothing_is_synchronous_only_the_lag_counts():
    assert leadership.switchover(cluster(leader(), member("b", "replica"), mode=False), "b", LAG) == Move(
        "a", "b"
    )


def test_a_failover_is_for_a_cluster_without_a_leader():
    gone = cluster(member("b", state="running"), member("c", state="running", lag=5))
    assert leadership.failover(gone, "", LAG, forced=False) == Move("", "b")
    assert reasons(leadership.failover, THREE, "b", LAG, forced=False) == ["a leads and is well"]


def test_consent_overrules_what_may_lose_data_and_not_what_is_impossible():
    bad = cluster(leader(), member("b", "replica", lag=5000), member("c", state="stopped"), pause=True)
    assert leadership.failover(bad, "b", LAG, forced=True) == Move("a", "b")
    assert reasons(leadership.failover, bad, "c", LAG, forced=True)[0].startswith("c is stopped")
    assert reasons(leadership.failover, bad, "x", LAG, forced=True) == ["Patroni knows no member x"]


@pytest.mark.parametrize(
    ("found", "name", "reason"),
    [
        pytest.param(THREE, "a", "a leads: its data are the ones that count", id="leader"),
        pytest.param(THREE, "x", "Patroni knows no member x", id="unknown"),
        pytest.param(
            cluster(member("b"), member("c")), "b", "there is no leader to copy from", id="leaderless"
        ),
        pytest.param(
            cluster(leader(), member("b")), "b", "b streams and holds the only second copy", id="only-copy"
        ),
    ],
)
def test_a_copy_that_counts_is_not_deleted(found, name, reason):
    assert reasons(leadership.reclone, found, name, forced=False) == [reason]


def test_consent_never_deletes_the_leader_and_may_delete_the_only_copy():
    assert reasons(leadership.reclone, THREE, "a", forced=True)
    leadership.reclone(cluster(leader(), member("b")), "b", forced=True)
    leadership.reclone(cluster(leader(), member("b", state="start failed")), "b", forced=False)


def test_a_cluster_is_whole_when_the_new_leader_leads_and_the_others_stream_on_its_timeline():
    assert leadership.whole(THREE, "a", ["b", "c"], LAG) == ""
    assert leadership.whole(THREE, "b", [], LAG) == "a leads, not b"
    assert leadership.whole(THREE, "a", ["d"], LAG) == "d is not there, not streaming"
    behind = cluster(leader(), member("b", timeline=2))
    assert leadership.whole(behind, "a", ["b"], LAG) == "b is on timeline 2, the leader on 3"


def test_the_longest_time_without_a_primary_is_told():
    looks = [Sample(0.0, ("a",)), Sample(0.1, ()), Sample(1.4, ()), Sample(1.5, ("b",)), Sample(1.6, ("b",))]
    assert interruption(looks) == 1.5
    assert interruption(looks[:3]) == 1.4
    assert interruption(looks[3:]) == 0.0
    assert interruption([]) == 0.0


def test_two_primaries_at_once_are_told_and_a_quick_handover_is_none():
    assert two_at_once([Sample(0.0, ("a", "b")), Sample(0.1, ("a", "b"))]) == ("a", "b")
    assert two_at_once([Sample(0.0, ("a",)), Sample(0.1, ("a", "b")), Sample(0.2, ("b",))]) == ()
    assert two_at_once([Sample(0.0, ("a",)), Sample(0.1, ("b",))]) == ()


def test_a_watch_looks_until_it_is_left():
    with suppress(KeyError), Watch(["a", "b"], lambda name: name == "b") as watch:
        raise KeyError
    assert watch.samples[0].primaries == ("b",)
    assert not watch._thread.is_alive()


@pytest.mark.parametrize(
    ("state", "host", "on", "expected"),
    [
        ("switched", "c", "", "c"),
        ("switched", "", "", "a"),
        ("failed_over", "lost", "", "a"),
        ("recloned", "a", "", "b"),
        ("restarted", "", "c", "c"),
    ],
)
def test_whoever_is_to_lead_gives_the_order_and_whoever_is_cloned_does_not(state, host, on, expected):
    assert acting(["a", "b", "c"], state, host, on) == expected


def test_a_host_that_is_not_reached_cannot_give_orders():
    with pytest.raises(SlipwayError, match="lost has no PostgreSQL or is not reached"):
        acting(["a"], "switched", "", "lost")


def test_what_patronictl_is_told():
    assert commands.fail_over("shop", "b") == [
        "patronictl",
        "failover",
        "shop",
        "--candidate",
        "b",
        "--force",
    ]
    assert commands.reinit("shop", "b") == ["patronictl", "reinit", "shop", "b", "--force"]
    assert commands.restart_member("shop", "b") == ["patronictl", "restart", "shop", "b", "--force"]


def test_a_site_that_follows_another_has_a_leader_that_streams():
    followed = cluster(member("a", "standby_leader", "streaming"), member("b", "replica"))
    assert followed.leader
    assert followed.leader.name == "a"
