"""Starting, stopping, losing dependencies, and misbehaving on demand."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from wayfare_engine import docker, until
from wayfare_socket import ClosedError, WebSocket
from wayfare_stack import Stack

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()

WATCH_AND_SEARCH = """
calls = Calls("{target}")
watching = calls.watch(journeys_pb2.WatchRequest())
list(watching.initial_metadata())
print(type(calls.search(journeys_pb2.SearchRequest(), timeout=20)).__name__)
try:
    list(watching)
except grpc.RpcError as error:
    print(error.code().name)
"""


def search(wayfare: Stack) -> dict[str, Any]:
    return wayfare.ask("api", f"/api/journeys?date={TOMORROW}").json


def book(wayfare: Stack, journey: str, key: str = "") -> int:
    body = {"journey_id": journey, "passenger": "Grace Hopper"}
    headers = {"Idempotency-Key": key or f"key-{time.time_ns()}"}
    return wayfare.ask("api", "/api/bookings", body, headers).status


def waiting_for(wayfare: Stack, alias: str) -> list[str]:
    return [complaint.split(":")[0] for complaint in wayfare.ask(alias, "/ready").json["waiting_for"]]


def test_sigterm_during_a_slow_request_finishes_it_and_exits_with_0(wayfare: Stack) -> None:
    with wayfare.replica("api") as alias:
        wayfare.until_ready(alias)
        connection = http.client.HTTPConnection(*wayfare.address(alias), timeout=30)
        connection.request("GET", "/api/slow?seconds=6")
        response = connection.getresponse()
        response.readline()
        docker("kill", "--signal=TERM", wayfare.container(alias))
        until(lambda: wayfare.ask(alias, "/ready").status == 503, 1, "/ready to be 503")
        assert wayfare.ask(alias, "/ready").json["waiting_for"] == ["stopping"]
        during = wayfare.ask(alias, "/live")
        assert (during.status, during.headers["Connection"]) == (200, "close")
        lines = [json.loads(line) for line in response]
        assert lines[-1]["done"] is True
        assert lines[-1]["elapsed"] >= 6
        assert wayfare.exit_code(alias) == 0


def test_sigterm_during_a_long_download_lets_it_end_whole(wayfare: Stack) -> None:
    with wayfare.replica("api") as alias:
        wayfare.until_ready(alias)
        connection = http.client.HTTPConnection(*wayfare.address(alias), timeout=30)
        connection.request("GET", "/api/download?bytes=4000000&seconds=6")
        begun = time.monotonic()
        response = connection.getresponse()
        body = response.read(100_000)
        docker("kill", "--signal=TERM", wayfare.container(alias))
        body += response.read()
        assert time.monotonic() - begun >= 5
        assert len(body) == 4_000_000
        assert hashlib.sha256(body).hexdigest() == response.headers["X-Content-SHA256"]
        assert wayfare.exit_code(alias) == 0


def test_websockets_are_sent_away_with_1001(wayfare: Stack) -> None:
    with wayfare.replica("updates") as alias:
        wayfare.until_ready(alias)
        browsers = [WebSocket(wayfare.address(alias)) for _ in range(5)]
        for browser in browsers:
            browser.receive("hello")
        assert wayfare.metric(alias, "wayfare_websocket_connections") == 5
        docker("kill", "--signal=TERM", wayfare.container(alias))
        for browser in browsers:
            with pytest.raises(ClosedError) as closed:
                browser.receive("nothing")
            assert closed.value.code == 1001
        assert wayfare.exit_code(alias) == 0


def test_journeys_finishes_calls_and_ends_watches(wayfare: Stack) -> None:
    with wayfare.replica("journeys", MISBEHAVE="latency=4s") as alias:
        wayfare.until_ready(alias)
        script = WATCH_AND_SEARCH.format(target=f"{alias}:9090")
        told: list[str] = []
        caller = threading.Thread(target=lambda: told.extend(wayfare.grpc(script).splitlines()))
        caller.start()
        until(
            lambda: wayfare.metric(alias, "wayfare_rpc_requests_in_flight") == 2, 20, "a watch and a search"
        )
        docker("kill", "--signal=TERM", wayfare.container(alias))
        caller.join(30)
        assert told == ["SearchReply", "UNAVAILABLE"]
        assert wayfare.exit_code(alias) == 0


def test_without_journeys_searches_go_to_the_database_and_are_counted(wayfare: Stack) -> None:
    fallbacks = 'wayfare_search_fallbacks_total{reason="deadline_exceeded"}'
    before = wayfare.metric("api", fallbacks)
    with wayfare.without("journeys", away="pause", back="unpause"):
        assert search(wayfare)["source"] == "database"
        assert wayfare.metric("api", fallbacks) == before + 1
    until(lambda: search(wayfare)["source"] == "journeys", 15, "journeys to be asked again")


def test_without_redis_searches_and_bookings_go_on_and_updates_come_back(wayfare: Stack) -> None:
    browser = WebSocket(wayfare.address("updates"), timeout=40)
    browser.receive("hello")
    with wayfare.without("redis"):
        journey = search(wayfare)["journeys"][0]["id"]
        assert book(wayfare, journey) == 201
        assert wayfare.ask("api", "/ready").status == 200
    browser.receive("resync")
    assert book(wayfare, journey) == 201
    wayfare.until_ready("updates")


def test_a_database_that_restarts_costs_a_booking_time_but_does_not_fail_it(wayfare: Stack) -> None:
    journey, key = search(wayfare)["journeys"][0]["id"], f"key-{time.time_ns()}"
    docker("restart", "-t", "1", wayfare.container("postgres"))
    answers: list[int] = []

    def booked() -> bool:
        answers.append(book(wayfare, journey, key))
        return answers[-1] in (200, 201)

    until(booked, 30, "a booking")
    assert set(answers[:-1]) <= {503}
    assert wayfare.sql(f"SELECT count(*) FROM bookings WHERE idempotency_key = '{key}'") == "1"


def test_starts_without_its_dependencies_and_becomes_ready_when_they_answer(wayfare: Stack) -> None:
    with wayfare.without("redis"), wayfare.replica("api") as alias:
        until(lambda: wayfare.answers(alias, "/live"), 20, "/live")
        until(lambda: waiting_for(wayfare, alias) == ["redis"], 20, "the database to answer")
        assert wayfare.ask(alias, "/ready").status == 503
        docker("start", wayfare.container("redis"))
        wayfare.until_ready(alias)
    wayfare.until_ready("updates")


@pytest.mark.parametrize(
    ("wrong", "waits_for"),
    [
        pytest.param({"DATABASE_READ_PORT": "5999"}, "database-read", id="no-replica"),
        pytest.param({"DATABASE_PORT": "5999"}, "database-write", id="no-primary"),
        # Reachable, but not by a name that is in its certificate.
        pytest.param({"REDIS_HOST": "{name}-redis"}, "redis", id="redis-under-a-false-name"),
    ],
)
def test_each_dependency_is_looked_for_where_it_is_said_to_be(
    wayfare: Stack, wrong: dict[str, str], waits_for: str
) -> None:
    settings = {key: value.format(name=wayfare.name) for key, value in wrong.items()}
    with wayfare.replica("api", **settings) as alias:
        until(lambda: wayfare.answers(alias, "/live"), 20, "/live")
        until(lambda: waiting_for(wayfare, alias) == [waits_for], 20, f"everything but {waits_for}")
        # And it stays so: the last one may merely have been the slowest.
        time.sleep(2)
        assert waiting_for(wayfare, alias) == [waits_for]


def test_a_database_under_a_false_name_is_not_believed(wayfare: Stack) -> None:
    with wayfare.replica("journeys", DATABASE_HOST=wayfare.container("postgres")) as alias:
        until(lambda: wayfare.answers(alias, "/metrics"), 20, "/metrics")
        until(lambda: wayfare.metric(alias, 'wayfare_dependency_up{dependency="redis"}') == 1, 20, "Redis")
        until(lambda: "dependency away" in wayfare.logs(alias), 20, "the refusal")
        assert not wayfare.ready(alias)


def test_an_unmigrated_schema_keeps_a_replica_from_being_ready(wayfare: Stack) -> None:
    wayfare.migrate("down")
    try:
        with wayfare.replica("journeys") as alias:
            until(lambda: "run the migrations" in wayfare.logs(alias), 20, "the advice")
            assert not wayfare.ready(alias)
    finally:
        wayfare.migrate("up")


def test_a_bad_environment_is_refused_with_every_problem_named(wayfare: Stack) -> None:
    settings = {
        "MISBEHAVE": "errors=2,latancy=1s",
        "LOG_LEVEL": "loud",
        "DATABASE_PORT": "x",
        "REDIS_PASSWORD_FILE": "/no",
    }
    with wayfare.replica("api", **settings) as alias:
        assert wayfare.exit_code(alias) == 78
        said = wayfare.logs(alias)
        for part in ("errors=2", "latancy=1s", "LOG_LEVEL", "DATABASE_PORT", "REDIS_PASSWORD_FILE names /no"):
            assert part in said


def test_errors_and_latency_on_demand(wayfare: Stack) -> None:
    with wayfare.replica("api", MISBEHAVE="errors=0.5,latency=100ms") as alias:
        wayfare.until_ready(alias)
        started = time.monotonic()
        statuses = [wayfare.ask(alias, "/api/flags").status for _ in range(30)]
        assert time.monotonic() - started >= 3
        assert 3 <= statuses.count(500) <= 27
        assert statuses.count(200) == 30 - statuses.count(500)


@pytest.mark.parametrize(
    ("misbehave", "code", "at_least"),
    [
        pytest.param("crash_on_start", 70, 0, id="on-start"),
        pytest.param("crash_after=3s", 70, 3, id="after-a-while"),
        # The kernel ends it at its memory limit, 128 MB.
        pytest.param("leak=60MB/s", 137, 1, id="out-of-memory"),
    ],
)
def test_crashes_on_demand(wayfare: Stack, misbehave: str, code: int, at_least: float) -> None:
    started = time.monotonic()
    with wayfare.replica("web", "--memory-swap=128m", MISBEHAVE=misbehave) as alias:
        assert wayfare.exit_code(alias) == code
        assert time.monotonic() - started >= at_least


def test_readiness_on_demand(wayfare: Stack) -> None:
    never_ready, slow_start = {"MISBEHAVE": "never_ready"}, {"MISBEHAVE": "slow_start=5s"}
    with wayfare.replica("web", **never_ready) as never, wayfare.replica("web", **slow_start) as slow:
        until(lambda: wayfare.answers(never, "/live"), 10, "/live")
        assert not wayfare.answers(slow, "/live")
        wayfare.until_ready(slow)
        assert wayfare.ask(never, "/ready").status == 503
