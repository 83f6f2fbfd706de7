"""What HAProxy says of its servers, read and written back as it reads it when it starts."""

from __future__ import annotations

import time

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.router import (
    Address,
    Order,
    Routers,
    ServerState,
    healthy_again,
    parse_orders,
    parse_servers,
)

# From HAProxy 3.0: a drained server, one that is down with a weight of 0, one in maintenance.
TABLE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
5 api 1 api-blue-1.a 10.0.0.1 2 8 100 100
5 api 2 api-green-1.a 10.0.0.1 0 0 0 100
6 web 1 web-blue-1.a 10.0.0.1 2 1 5 100
"""


def test_an_order_is_a_weight_and_whether_new_traffic_is_wanted():
    assert parse_orders(TABLE) == {
        "api-blue-1.a": Order("api", 100, left_out=True),
        "api-green-1.a": Order("api", 0, left_out=False),
        "web-blue-1.a": Order("web", 5, left_out=True),
    }


def test_only_weights_outlive_a_router():
    kept = healthy_again(TABLE)
    assert kept.splitlines()[:2] == TABLE.splitlines()[:2]
    assert {name: order.weight for name, order in parse_orders(kept).items()} == {
        "api-blue-1.a": 100,
        "api-green-1.a": 0,
        "web-blue-1.a": 5,
    }
    assert not any(order.left_out for order in parse_orders(kept).values())
    assert [line.split()[5] for line in kept.splitlines()[2:]] == ["2", "2", "2"]


class Slow:
    """A router of a lost host: silent for as long as anybody waits."""

    def __init__(self, name):
        self.address = Address(name, "10.0.0.1", 9999)
        self.asked = 0

    def orders(self):
        self.asked += 1
        time.sleep(0.2)
        raise SlipwayError(f"{self.address.name} does not answer", "Start it")

    servers = orders


def test_routers_of_a_lost_host_cost_one_time_limit_together_and_are_asked_once():
    lost = [Slow("router on h2"), Slow("local-router on h2")]
    routers = Routers(lost, forgiving=True)
    begun = time.monotonic()
    assert routers.drain("api-blue-1.h1", 0) == 0
    assert routers.drain("api-blue-2.h1", 0) == 0
    assert time.monotonic() - begun < 0.35
    assert [router.asked for router in lost] == [1, 1]


def test_a_silent_router_is_an_error_unless_it_may_be_passed_over():
    with pytest.raises(SlipwayError, match="router on h2 does not answer"):
        Routers([Slow("router on h2")]).drain("api-blue-1.h1", 0)


def test_sessions_of_users_who_are_kept_on_a_pool_are_its_servers_own():
    statistics = """# pxname,svname,qcur,scur,status,type
http_in,FRONTEND,,9,OPEN,0
api,api-blue-1.a,0,2,DRAIN,2
api,BACKEND,0,2,UP,1
api:blue,api-blue-1.a:sticky,1,3,DRAIN,2
"""
    assert parse_servers(statistics) == {"api-blue-1.a": ServerState("api", "DRAIN", 6)}
