"""A visitor searches and books, and everybody else sees it."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from edge import TIMEOUT, Edge
from waiting import eventually
from websockets.asyncio.client import connect

from lab import CHECKOUT

# The timetable reaches three weeks ahead; a journey of today may have left.
DAY = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
PROTO = CHECKOUT / "apps/wayfare/proto/wayfare/rpc"


def search(edge: Edge) -> list[dict[str, Any]]:
    answer = edge.get(f"/api/journeys?from=Berlin&to=Vienna&date={DAY}")
    assert answer.status == 200, answer.body
    return list(answer.json()["journeys"])


def book(edge: Edge, journey: str, key: str) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"journey_id": journey, "seats": 1, "passenger": "System Test"}).encode()
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    answer = edge.request("POST", "/api/bookings", headers, body)
    return answer.status, dict(answer.json())


async def booked_and_announced(edge: Edge, journey: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What who books is answered, and what somebody else is told of it."""
    where = {"host": "127.0.0.1", "port": edge.https_port, "server_hostname": edge.domain}
    url = f"wss://{edge.authority}/ws/"
    async with connect(url, ssl=edge.context(), open_timeout=TIMEOUT, **where) as listener:
        assert json.loads(await asyncio.wait_for(listener.recv(), TIMEOUT))["type"] == "hello"
        status, answer = book(edge, journey, key)
        assert status == 201, answer
        async with asyncio.timeout(TIMEOUT):
            async for text in listener:
                message = json.loads(text)
                if message["type"] == "booking" and message["booking"]["id"] == answer["booking"]["id"]:
                    return answer, dict(message["booking"])
    raise AssertionError("the WebSocket session ended before the announcement")


def test_a_booking_is_made_once_and_seen_by_everybody(edge: Edge) -> None:
    journey = search(edge)[0]
    key = f"system-test-{secrets.token_hex(8)}"
    first, seen = asyncio.run(booked_and_announced(edge, journey["id"], key))
    assert seen["passenger"] == "System T."

    status, second = book(edge, journey["id"], key)
    assert (status, second["replayed"]) == (200, True)
    assert second["booking"]["id"] == first["booking"]["id"]

    # Both are read from replicas.
    def listed() -> int:
        bookings = edge.get("/api/bookings").json()["bookings"]
        return [one["id"] for one in bookings].count(first["booking"]["id"])

    def left() -> int:
        return int(next(one["seats_left"] for one in search(edge) if one["id"] == journey["id"]))

    assert eventually(listed, lambda count: count == 1, TIMEOUT) == 1
    expected = journey["seats_left"] - 1
    assert eventually(left, lambda seats: seats == expected, TIMEOUT) == expected


def test_a_key_that_was_used_for_another_booking_is_refused(edge: Edge) -> None:
    one, other = search(edge)[:2]
    key = f"system-test-{secrets.token_hex(8)}"
    assert book(edge, one["id"], key)[0] == 201
    assert book(edge, other["id"], key)[0] == 422


def test_journeys_are_found_over_grpc_through_the_edge(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROTO))
    messages, services = grpc.protos_and_services("journeys.proto")
    names = [
        ("grpc.ssl_target_name_override", edge.domain),
        ("grpc.default_authority", edge.authority),
        ("grpc.enable_http_proxy", 0),
    ]
    trusted = grpc.ssl_channel_credentials(edge.ca_file.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{edge.https_port}", trusted, names) as channel:
        wanted = messages.SearchRequest(origin="Berlin", destination="Vienna", day=DAY)
        reply = services.JourneysStub(channel).Search(wanted, timeout=TIMEOUT)
    assert reply.journeys
    assert {(one.origin, one.destination) for one in reply.journeys} == {("Berlin", "Vienna")}
    assert {one.id for one in reply.journeys} == {one["id"] for one in search(edge)}
