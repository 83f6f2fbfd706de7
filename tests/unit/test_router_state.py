"""What HAProxy says of its servers, read and written back as it reads it when it starts."""

from __future__ import annotations

from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_state import (
    Order,
    ServerState,
    healthy_again,
    parse_orders,
    parse_servers,
    servers_in_service,
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


def test_sessions_of_users_who_are_kept_on_a_pool_are_its_servers_own():
    statistics = """# pxname,svname,qcur,scur,status,type
http_in,FRONTEND,,9,OPEN,0
api,api-blue-1.a,0,2,DRAIN,2
api,BACKEND,0,2,UP,1
api:blue,api-blue-1.a:sticky,1,3,DRAIN,2
"""
    assert parse_servers(statistics) == {"api-blue-1.a": ServerState("api", "DRAIN", 6)}


# As HAProxy 3.0 answers `show servers state`, as far as it is read: up; down; drained; up, weight 0.
IN_SERVICE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
4 api 1 api-blue-1.h1 10.0.0.1 2 0 100
4 api 2 api-blue-2.h1 10.0.0.1 0 0 100
4 api 3 api-green-1.h1 10.0.0.1 2 8 100
4 api 4 api-green-2.h1 10.0.0.1 2 0 0
"""


def test_only_what_is_up_and_was_not_taken_out_is_in_service():
    assert servers_in_service(IN_SERVICE) == {"api-blue-1.h1", "api-green-2.h1"}


STATISTICS = """# pxname,svname,qcur,scur,status,type,
http,FRONTEND,,7,OPEN,0,
web,web-blue-1.a,1,3,UP,2,
web,web-blue-2.a,0,0,DRAIN,2,
web,BACKEND,0,3,UP,1,
"""


def test_statistics_of_haproxy_are_read_by_server():
    assert parse_servers(STATISTICS) == {
        "web-blue-1.a": ServerState("web", "UP", 4),
        "web-blue-2.a": ServerState("web", "DRAIN", 0),
    }
