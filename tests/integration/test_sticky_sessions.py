"""While two versions share the traffic a user sees one of them; when it goes, its users move on at once."""

from __future__ import annotations

import re
import threading

import pytest
from real_edge import pools_of, real_edge, until

COOKIE = "__Host-slipway"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with real_edge(tmp_path_factory.mktemp("edge"), api={"sticky": True}) as running:
        yield running


@pytest.fixture
def edge(whole):
    whole.weigh("api", blue=100, green=100)
    for replica in whole.replicas.values():
        replica.answers, replica.extra = {}, {}
    whole.counted.clear()
    return whole


def visit(edge, user=None, times=1, path="/api/x"):
    """Answers to a user with a number, or to one without a cookie."""
    headers = {} if user is None else {"Cookie": f"theme=dark; {COOKIE}={user}"}
    return [edge.get(path, **headers)[2] for _ in range(times)]


def pool_of(edge, user, times=1):
    (pool,) = pools_of(visit(edge, user, times))
    return pool


def test_a_user_is_given_a_number_and_sees_one_pool_from_then_on(edge):
    for _ in range(10):
        _status, headers, first = edge.get("/api/x")
        (cookie,) = headers.get_all("Set-Cookie")
        told = re.fullmatch(
            rf"{COOKIE}=(\d{{1,3}}); Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax", cookie
        )
        assert told, cookie
        assert headers["Cache-Control"] == "private"
        again = visit(edge, told[1], times=6)
        assert len({*pools_of(again), *pools_of([first])}) == 1
        assert len(set(again)) == 2, "the replicas of the pool share the work"


def test_who_has_a_number_is_given_no_other(edge):
    _status, headers, _body = edge.get("/api/x", Cookie=f"{COOKIE}=417")
    assert headers["Set-Cookie"] is None and headers["Cache-Control"] is None


@pytest.mark.parametrize("value", ["1000", "-1", "abc", "12a", ""])
def test_what_is_no_number_of_ours_is_replaced(edge, value):
    _status, headers, _body = edge.get("/api/x", Cookie=f"{COOKIE}={value}")
    assert headers["Set-Cookie"].startswith(f"{COOKIE}=")


def test_a_service_that_is_not_sticky_gives_no_cookie(edge):
    assert edge.get("/")[1]["Set-Cookie"] is None


def test_at_rest_nobody_gets_a_cookie_and_an_old_one_changes_nothing(edge):
    edge.weigh("api", blue=100, green=0)
    for headers in ({}, {"Cookie": f"{COOKIE}=999"}):
        _status, answer, body = edge.get("/api/x", **headers)
        assert answer["Set-Cookie"] is None
        assert pools_of([body]) == {"blue": 1}


def test_the_share_of_users_is_the_share_of_the_traffic(edge):
    # Servers weigh so that a tenth goes to the new pool.
    edge.weigh("api", blue=225, green=25)
    users = range(0, 1000, 20)
    assert sum(pool_of(edge, user) == "green" for user in users) == 5


@pytest.mark.parametrize(("new", "old"), [("green", "blue"), ("blue", "green")])
def test_as_the_share_grows_each_user_moves_once_and_never_back(edge, new, old):
    users, moved = range(0, 1000, 50), set()
    for share in (5, 25, 50, 90):
        edge.weigh("api", **{new: share, old: 100 - share})
        now = {user for user in users if pool_of(edge, user) == new}
        assert moved <= now
        moved = now
    edge.weigh("api", **{new: 100, old: 0})
    assert all(pool_of(edge, user) == new for user in users)


def test_after_a_rollback_everybody_moves_on_at_once(edge):
    assert {pool_of(edge, user) for user in (0, 999)} == {"blue", "green"}
    edge.weigh("api", blue=100, green=0)
    assert {pool_of(edge, user) for user in (0, 999)} == {"blue"}


def test_a_drained_replica_gets_no_new_request_of_its_users_and_is_waited_for(edge):
    def sessions():
        servers = edge.router.servers()
        return [servers[f"api-green-{number}.h1.test"].sessions for number in (1, 2)]

    answered = threading.Event()
    for number in (1, 2):
        edge.replica(f"api-green-{number}").answers["/api/slow"] = (200, "slow", answered)
    waiting = [threading.Thread(target=visit, args=(edge, 999, 1, "/api/slow")) for _ in range(2)]
    try:
        for one in waiting:
            one.start()
        until(lambda: sessions() == [1, 1])
        edge.router.set_state("api", "api-green-1.h1.test", "drain")
        assert set(visit(edge, 999, times=6)) == {"api-green-2"}
        assert sessions()[0] == 1
        answered.set()
        until(lambda: sessions()[0] == 0)
    finally:
        answered.set()
        for one in waiting:
            one.join()
        edge.router.set_state("api", "api-green-1.h1.test", "ready")


def test_a_pool_that_is_gone_leaves_its_users_to_the_other(edge):
    assert pool_of(edge, 999) == "green"
    for number in (1, 2):
        edge.router.set_state("api", f"api-green-{number}.h1.test", "maint")
    try:
        assert pool_of(edge, 999, times=4) == "blue"
    finally:
        for number in (1, 2):
            edge.router.set_state("api", f"api-green-{number}.h1.test", "ready")


def test_what_a_pool_did_is_counted_for_the_pool(edge):
    edge.count_anew()
    visit(edge, 999, times=3)
    visit(edge, 0, times=2)
    until(lambda: len(edge.counted) >= 5)
    told = [line.split("|")[:3] for line in edge.counted]
    assert (told.count(["api", "green", "200"]), told.count(["api", "blue", "200"])) == (3, 2)


def test_a_servers_double_is_no_server_of_its_own(edge):
    assert not [name for name in edge.router.servers() if "sticky" in name]
