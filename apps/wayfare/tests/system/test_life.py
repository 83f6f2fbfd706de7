"""Starting, stopping, losing dependencies, and misbehaving on demand."""

from __future__ import annotations

import http.client
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from wayfare_socket import ClosedError, WebSocket
from wayfare_stack import Stack, docker, until

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


def end(wayfare: Stack, alias: str) -> None:
    docker("rm", "-f", wayfare.container(alias))


def search(wayfare: Stack) -> dict[str, Any]:
    return wayfare.ask("api", f"/api/journeys?date={TOMORROW}").json


def waiting_for(wayfare: Stack, alias: str) -> list[str]:
    return [complaint.split(":")[0] for complaint in wayfare.ask(alias, "/ready").json["waiting_for"]]


def test_sigterm_during_a_slow_request_finishes_it_and_exits_with_0(wayfare: Stack) -> None:
    alias = wayfare.run("api", alias="api.drain")
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
    end(wayfare, alias)


def test_websockets_are_sent_away_with_1001(wayfare: Stack) -> None:
    alias = wayfare.run("updates", alias="updates.drain")
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
    end(wayfare, alias)


def test_journeys_finishes_calls_and_ends_watches(wayfare: Stack) -> None:
    alias = wayfare.run("journeys", alias="journeys.drain", MISBEHAVE="latency=4s")
    wayfare.until_ready(alias)
    script = f"""
import grpc, threading, time
from wayfare.rpc import journeys_pb2
channel = grpc.insecure_channel("{alias}:9090")
search = channel.unary_unary("/wayfare.Journeys/Search", journeys_pb2.SearchRequest.SerializeToString,
                             journeys_pb2.SearchReply.FromString)
watch = channel.unary_stream("/wayfare.Journeys/Watch", journeys_pb2.WatchRequest.SerializeToString,
                             journeys_pb2.SeatsLeft.FromString)
watching = watch(journeys_pb2.WatchRequest())
list(watching.initial_metadata())
print("calling", flush=True)
print(type(search(journeys_pb2.SearchRequest(), timeout=20)).__name__)
try:
    list(watching)
except grpc.RpcError as error:
    print(error.code().name)
"""
    told: list[str] = []
    caller = threading.Thread(target=lambda: told.extend(wayfare.grpc(script).splitlines()))
    caller.start()
    until(lambda: wayfare.metric(alias, "wayfare_rpc_requests_in_flight") == 2, 20, "a watch and a search")
    docker("kill", "--signal=TERM", wayfare.container(alias))
    caller.join(30)
    assert told == ["calling", "SearchReply", "UNAVAILABLE"]
    assert wayfare.exit_code(alias) == 0
    end(wayfare, alias)


def test_without_journeys_searches_go_to_the_database_and_are_counted(wayfare: Stack) -> None:
    docker("pause", wayfare.container("journeys"))
    before = wayfare.metric("api", 'wayfare_search_fallbacks_total{reason="deadline_exceeded"}')
    assert search(wayfare)["source"] == "database"
    assert wayfare.metric("api", 'wayfare_search_fallbacks_total{reason="deadline_exceeded"}') == before + 1
    docker("unpause", wayfare.container("journeys"))
    until(lambda: search(wayfare)["source"] == "journeys", 15, "journeys to be asked again")


def test_without_redis_searches_and_bookings_go_on_and_updates_come_back(wayfare: Stack) -> None:
    browser = WebSocket(wayfare.address("updates"), timeout=40)
    browser.receive("hello")
    docker("stop", "-t", "1", wayfare.container("redis"))
    body = {"journey_id": search(wayfare)["journeys"][0]["id"], "passenger": "Grace Hopper"}
    assert (
        wayfare.ask("api", "/api/bookings", body, {"Idempotency-Key": f"redis-{time.time_ns()}"}).status
        == 201
    )
    assert wayfare.ask("api", "/ready").status == 200
    docker("start", wayfare.container("redis"))
    browser.receive("resync")
    assert (
        wayfare.ask("api", "/api/bookings", body, {"Idempotency-Key": f"redis-{time.time_ns()}"}).status
        == 201
    )
    until(lambda: wayfare.ready("updates"), 20, "updates")


def test_a_database_that_restarts_costs_a_booking_time_but_does_not_fail_it(wayfare: Stack) -> None:
    journey = search(wayfare)["journeys"][0]["id"]
    docker("restart", "-t", "1", wayfare.container("postgres"))
    body = {"journey_id": journey, "passenger": "Alan Turing"}
    key = {"Idempotency-Key": f"database-{time.time_ns()}"}

    def booked() -> bool:
        answer = wayfare.ask("api", "/api/bookings", body, key)
        assert answer.status in (200, 201, 503), answer.body
        return answer.status != 503

    until(booked, 30, "a booking")
    assert (
        wayfare.sql(f"SELECT count(*) FROM bookings WHERE idempotency_key = '{key['Idempotency-Key']}'")
        == "1"
    )


def test_starts_without_its_dependencies_and_becomes_ready_when_they_answer(wayfare: Stack) -> None:
    docker("stop", "-t", "1", wayfare.container("redis"))
    alias = wayfare.run("api", alias="api.early")
    until(lambda: wayfare.answers(alias, "/live"), 20, "/live")
    until(lambda: waiting_for(wayfare, alias) == ["redis"], 20, "the database to answer")
    assert wayfare.ask(alias, "/ready").status == 503
    docker("start", wayfare.container("redis"))
    wayfare.until_ready(alias)
    end(wayfare, alias)
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
    alias = wayfare.run("api", alias="api.misled", **settings)
    until(lambda: wayfare.answers(alias, "/live"), 20, "/live")
    until(lambda: waiting_for(wayfare, alias) == [waits_for], 20, f"everything but {waits_for}")
    end(wayfare, alias)


def test_a_database_under_a_false_name_is_not_believed(wayfare: Stack) -> None:
    alias = wayfare.run("journeys", alias="journeys.misled", DATABASE_HOST=wayfare.container("postgres"))
    until(lambda: wayfare.answers(alias, "/metrics"), 20, "/metrics")
    until(lambda: wayfare.metric(alias, 'wayfare_dependency_up{dependency="redis"}') == 1, 20, "Redis")
    until(lambda: "dependency away" in wayfare.logs(alias), 20, "the refusal")
    assert not wayfare.ready(alias)
    end(wayfare, alias)


def test_an_unmigrated_schema_keeps_a_replica_from_being_ready(wayfare: Stack) -> None:
    wayfare.migrate("down")
    alias = wayfare.run("journeys", alias="journeys.early")
    until(lambda: "run the migrations" in wayfare.logs(alias), 20, "the advice")
    assert not wayfare.ready(alias)
    wayfare.migrate("up")
    wayfare.until_ready(alias)
    end(wayfare, alias)


def test_a_bad_environment_is_refused_with_every_problem_named(wayfare: Stack) -> None:
    settings = {
        "MISBEHAVE": "errors=2,latancy=1s",
        "LOG_LEVEL": "loud",
        "DATABASE_PORT": "x",
        "REDIS_PASSWORD_FILE": "/no",
    }
    alias = wayfare.run("api", alias="api.wrong", **settings)
    assert wayfare.exit_code(alias) == 78
    said = wayfare.logs(alias)
    for part in ("errors=2", "latancy=1s", "LOG_LEVEL", "DATABASE_PORT", "REDIS_PASSWORD_FILE names /no"):
        assert part in said
    end(wayfare, alias)


def test_errors_and_latency_on_demand(wayfare: Stack) -> None:
    alias = wayfare.run("api", alias="api.bad", MISBEHAVE="errors=0.5,latency=100ms")
    wayfare.until_ready(alias)
    started = time.monotonic()
    statuses = [wayfare.ask(alias, "/api/flags").status for _ in range(30)]
    assert time.monotonic() - started >= 3
    assert 3 <= statuses.count(500) <= 27
    assert statuses.count(200) == 30 - statuses.count(500)
    end(wayfare, alias)


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
    alias = wayfare.run("web", "--memory-swap=128m", alias="web.bad", MISBEHAVE=misbehave)
    assert wayfare.exit_code(alias) == code
    assert time.monotonic() - started >= at_least
    end(wayfare, alias)


def test_readiness_on_demand(wayfare: Stack) -> None:
    never = wayfare.run("web", alias="web.never", MISBEHAVE="never_ready")
    slow = wayfare.run("web", alias="web.slow", MISBEHAVE="slow_start=5s")
    until(lambda: wayfare.answers(never, "/live"), 10, "/live")
    assert wayfare.ask(never, "/ready").status == 503
    assert not wayfare.answers(slow, "/live")
    wayfare.until_ready(slow, 10)
    assert wayfare.ask(never, "/ready").status == 503
    end(wayfare, never)
    end(wayfare, slow)
