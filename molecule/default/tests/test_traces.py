"""One booking is seen as one trace from the edge to PostgreSQL and Redis, and leads to its log lines."""

from __future__ import annotations

import json
import secrets
import shlex
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from edge import Edge
from waiting import eventually

from lab import Lab

# A trace is judged seconds after its first span; on a busy machine it is in the store later.
KEPT = 60.0
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


@pytest.fixture(scope="module", autouse=True)
def declared(lab: Lab) -> None:
    assert lab.stack["components"]["logs"]["traces"], "the lab keeps no traces"


def ask(lab: Lab, query: str, store: str = "traces") -> list[dict[str, Any]]:
    path = {"logs": "", "traces": "/traces"}[store]
    url = f"http://127.0.0.1:9428{path}/select/logsql/query"
    command = f"curl --fail --silent --show-error --data-urlencode {shlex.quote(f'query={query}')} {url}"
    told = lab.in_container(lab.host_of(store), store, command)
    return [json.loads(line) for line in told.splitlines() if line.strip()]


def visit(edge: Edge, trace: str, request: str) -> None:
    """Search, by way of gRPC, and book what was found, as one visitor's trace."""
    headers = {"traceparent": f"00-{trace}-00000000000000aa-01", "X-Request-ID": request}
    found = edge.request("GET", f"/api/journeys?date={TOMORROW}", headers).json()
    assert found["source"] == "journeys"
    # A lab that was drilled before has sold many.
    journey = next(one["id"] for one in found["journeys"] if one["seats_left"])
    body = json.dumps({"journey_id": journey, "seats": 1, "passenger": "Ada Lovelace"})
    more = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    assert edge.request("POST", "/api/bookings", headers | more, body.encode()).status == 201


def test_one_booking_is_one_trace_from_the_edge_to_postgresql_and_redis(lab: Lab, edge: Edge) -> None:
    trace, request = secrets.token_hex(16), f"visit-{secrets.token_hex(8)}"
    visit(edge, trace, request)

    def parts(spans: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {
            (it["service"], json.loads(it.get("attributes", "{}")).get("peer.service", "")) for it in spans
        }

    wanted = {
        ("edge", ""),
        ("api", ""),
        ("api", "journeys"),
        ("journeys", ""),
        ("journeys", "redis"),
        ("api", "postgresql"),
        ("api", "redis"),
    }
    spans = eventually(lambda: ask(lab, f'trace_id:="{trace}"'), lambda found: wanted <= parts(found), KEPT)
    assert wanted <= parts(spans)
    by_id = {it["span_id"]: it for it in spans}

    def way(span: dict[str, Any]) -> list[str]:
        above = by_id.get(span.get("parent_id", ""))
        return [span["service"], *(way(above) if above else [])]

    ways = {tuple(way(it)) for it in spans}
    # gRPC's both ends, and what the service behind it asks.
    assert ("journeys", "api", "api", "edge") in ways
    assert ("journeys", "journeys", "api", "api", "edge") in ways
    assert {
        it["request_id"] for it in spans if it["service"] in ("edge", "api") and it["kind"] == "server"
    } == {request}
    (first,) = ask(lab, f'root:=true trace_id:="{trace}"')
    assert first["service"] == "edge"
    assert first["trace_services"] == "api edge journeys"
    # And its lines, of edge and application.
    lines = eventually(
        lambda: (
            ask(lab, f'"{trace}" service:=api', "logs") and ask(lab, f'"{trace}" component:=edge', "logs")
        ),
        bool,
        KEPT,
    )
    assert lines


def test_a_request_without_a_trace_is_given_one(lab: Lab, edge: Edge) -> None:
    request = f"visit-{secrets.token_hex(8)}"
    assert edge.get("/api/places", X_Request_ID=request).status == 200
    (first,) = eventually(
        lambda: ask(lab, f'root:=true request_id:="{request}"'), lambda found: len(found) == 1, KEPT
    )
    assert first["service"] == "edge"
    assert "parent_id" not in first


def test_nothing_is_refused_or_dropped(lab: Lab) -> None:
    for host in lab.hosts:
        told = lab.in_container(host, "collector", "curl --fail --silent http://127.0.0.1:8888/metrics")
        bad = [
            line
            for line in told.splitlines()
            if line.startswith(("otelcol_receiver_refused_spans", "otelcol_exporter_enqueue_failed_spans"))
            and not line.endswith(" 0")
        ]
        assert not bad, host


def test_whoever_has_no_certificate_hands_in_no_spans(lab: Lab) -> None:
    address = lab.addresses[lab.host_of("traces")]
    command = f"curl --insecure --silent --max-time 20 --data '{{}}' https://{address}:4318/v1/traces"
    for host in lab.hosts:
        # TLS ends it: at the handshake, or at the first byte after it.
        told = lab.in_container(host, "collector", f"{command}; echo $?")
        assert told.strip() in ("35", "56"), told
