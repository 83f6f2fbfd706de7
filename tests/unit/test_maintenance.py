"""Which host may go out of service, what routers are told, and who must wait meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing import maintenance
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.maintenance import Out
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_state import (
    healthy_again,
    parse_orders,
    parse_places,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Etcd
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import stack, with_service

OUT = Out("h2.test", "2026-06-01T12:00:00Z", "ada@control")
TABLE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
5 api 1 api-blue-1.h1.test 10.0.0.1 2 8 100 100
5 api 2 api-blue-1.h2.test 10.0.0.2 0 8 50 100
6 postgres-primary 1 h2.test 10.0.0.2 2 0 1 1
7 postgres-replicas 1 h1.test 10.0.0.1 2 0 1 1
7 postgres-replicas 2 h2.test 10.0.0.2 0 1 1 1
8 redis-master 1 h2.test 10.0.0.2 2 0 1 1
"""


def reasons(base, host):
    laid = topology(base)
    return [reason for reason, _remedy in maintenance.obstacles(laid, laid.views[host])]


def with_components(base, **parts):
    return replace(base, components=replace(base.components, **parts))


def test_one_of_three_hosts_can_be_spared():
    for host in ("h1.test", "h2.test", "h3.test"):
        maintenance.require_possible(topology(stack()), host)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        pytest.param(stack(1), "is the only host", id="single-host"),
        pytest.param(
            with_service(stack(), "api", hosts=("h1.test",)), "alone runs the service api", id="last-replicas"
        ),
        pytest.param(stack(hosts=("h1.test",)), "is the last edge", id="last-edge"),
        pytest.param(
            with_components(stack(), postgres=replace(stack().components.postgres, hosts=("h1.test",))),
            "is the only PostgreSQL member",
            id="last-database",
        ),
        pytest.param(
            with_components(stack(), redis=replace(stack().components.redis, hosts=("h1.test",))),
            "is the only Redis member",
            id="last-redis",
        ),
        pytest.param(
            with_components(stack(), etcd=Etcd(("h1.test", "h2.test"))),
            "is one of 2 etcd members",
            id="no-etcd-majority",
        ),
        pytest.param(
            with_components(stack(), etcd=Etcd(("h1.test",))), "is one of 1 etcd members", id="last-etcd"
        ),
    ],
)
def test_a_host_that_the_others_cannot_do_without_is_refused(base, reason):
    (told,) = reasons(base, "h1.test")
    assert told.startswith(reason)
    with pytest.raises(InvalidInputError, match="no host was touched"):
        maintenance.require_possible(topology(base), "h1.test")


def test_an_unknown_host_is_refused_with_the_nearest_one():
    with pytest.raises(InvalidInputError, match=r"Did you mean h2\.test"):
        maintenance.require_possible(topology(stack()), "h2.tst")


def test_all_reasons_are_told_at_once():
    alone = with_service(stack(hosts=("h1.test",)), "api", hosts=("h1.test",))
    assert len(reasons(alone, "h1.test")) == 2


def member(name, role="replica", state="streaming", lag=0):
    return {"name": name, "role": role, "state": state, "lag": lag}


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        pytest.param([member("b", lag=9), member("c", lag=0)], "c", id="the-nearest"),
        pytest.param(
            [member("b", lag=0), member("c", "quorum_standby", lag=9)], "c", id="rather-one-of-the-quorum"
        ),
        pytest.param(
            [member("b", state="starting"), member("c", lag=99)], "c", id="none-that-does-not-stream"
        ),
        pytest.param([member("b", lag="unknown"), member("c", lag=99)], "c", id="none-whose-lag-is-unknown"),
    ],
)
def test_the_leadership_goes_to_whoever_loses_nothing(others, chosen):
    cluster = {"members": [member("a", "leader", "running"), *others]}
    assert maintenance.candidate("a", cluster) == chosen


def test_without_a_streaming_member_the_leader_stays():
    cluster = {"members": [member("a", "leader", "running"), member("b", state="stopped")]}
    with pytest.raises(SlipwayError, match="none of them is streaming"):
        maintenance.candidate("a", cluster)


def test_routers_drain_replicas_move_reads_and_leave_who_may_lead():
    assert maintenance.orders_out(parse_places(TABLE), "h2.test") == [
        ("api", "api-blue-1.h2.test", "drain"),
        ("postgres-replicas", "h2.test", "maint"),
    ]
    assert maintenance.orders_in(parse_places(TABLE), "h2.test") == [
        ("api", "api-blue-1.h2.test", "ready"),
        ("postgres-replicas", "h2.test", "ready"),
    ]


def test_what_a_router_was_told_of_the_host_outlives_the_router_and_nothing_else():
    kept = [line.split() for line in healthy_again(TABLE, "h2.test").splitlines()[2:]]
    assert [(row[3], row[6]) for row in kept if row[6] != "0"] == [
        ("api-blue-1.h2.test", "8"),
        ("h2.test", "1"),
    ]
    assert not any(order.left_out for order in parse_orders(healthy_again(TABLE)).values())


def test_a_host_with_a_similar_name_is_another_one():
    kept = healthy_again(TABLE.replace("h2.test", "xh2.test"), "h2.test")
    assert not any(order.left_out for order in parse_orders(kept).values())


def test_while_a_host_is_out_nothing_changes_the_environment(tmp_path):
    maintenance.refuse_while_out(tmp_path)
    assert maintenance.note(tmp_path, OUT)
    assert not maintenance.note(tmp_path, OUT), "known already"
    with pytest.raises(SlipwayError, match=r"h2\.test is out of service \(since .* by ada@control\)") as told:
        maintenance.refuse_while_out(tmp_path)
    assert "-e host=h2.test -e state=in" in told.value.remedy
    with pytest.raises(SlipwayError, match=r"h2\.test is out of service"):
        maintenance.note(tmp_path, replace(OUT, host="h3.test"))
    assert maintenance.read(tmp_path) == OUT
    assert maintenance.forget(tmp_path)
    maintenance.refuse_while_out(tmp_path)
