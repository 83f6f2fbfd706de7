"""One trace from a visitor's search to the booking, by API, gRPC, PostgreSQL and Redis; what links to it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from test_booking import TOMORROW
from wayfare_engine import IMAGE, docker, until
from wayfare_stack import Stack

# Takes OTLP as JSON, and tells it again line by line.
SINK = """
import http.server, sys
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sys.stdout.buffer.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        sys.stdout.buffer.flush()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 4318), Sink).serve_forever()
"""


@contextmanager
def sink(wayfare: Stack) -> Iterator[str]:
    name = wayfare.container("sink")
    docker(
        "run",
        "--detach",
        f"--name={name}",
        f"--network={wayfare.name}",
        "--network-alias=sink",
        "--entrypoint=python3",
        IMAGE,
        "-c",
        SINK,
    )
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def spans(name: str, trace: str) -> list[dict[str, Any]]:
    """Of one trace, each with its service."""
    found = []
    for line in docker("logs", name).splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            named = {it["key"]: it["value"] for it in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                found += [
                    it | {"service": named["service.name"]["stringValue"], "facts": facts(it)}
                    for it in scope["spans"]
                    if it["traceId"].lower() == trace
                ]
    return found


def facts(span: dict[str, Any]) -> dict[str, Any]:
    return {it["key"]: next(iter(it["value"].values())) for it in span.get("attributes", [])}


def test_one_booking_is_one_trace_through_api_grpc_postgresql_and_redis(wayfare: Stack) -> None:
    trace, request = uuid.uuid4().hex, f"visit-{uuid.uuid4().hex}"
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://sink:4318"}
    headers = {"traceparent": f"00-{trace}-00000000000000aa-01", "X-Request-ID": request}
    with (
        sink(wayfare) as name,
        wayfare.replica("journeys", OTEL_SERVICE_NAME="journeys", **told) as journeys,
        wayfare.replica("api", OTEL_SERVICE_NAME="api", JOURNEYS_TARGET=f"{journeys}:9090", **told) as api,
    ):
        wayfare.until_ready(journeys)
        wayfare.until_ready(api)
        found = wayfare.ask(api, f"/api/journeys?date={TOMORROW}", headers=headers).json
        assert found["source"] == "journeys"
        journey = found["journeys"][0]["id"]
        body = {"journey_id": journey, "seats": 1, "passenger": "Ada Lovelace"}
        booked = wayfare.ask(api, "/api/bookings", body, headers | {"Idempotency-Key": uuid.uuid4().hex})
        assert booked.status == 201
        until(lambda: any(it["name"] == "POST /api/bookings" for it in spans(name, trace)), 30, "the spans")
        until(lambda: any(it["service"] == "journeys" for it in spans(name, trace)), 30, "those of journeys")
        all_spans = spans(name, trace)
        lines = [json.loads(line) for line in wayfare.logs(api).splitlines() if request in line]

    by_id = {it["spanId"]: it for it in all_spans}

    def callers(span: dict[str, Any]) -> list[str]:
        above = by_id.get(span["parentSpanId"])
        return [f"{above['service']} {above['name']}", *callers(above)] if above else []

    ways = {(it["service"], it["facts"].get("peer.service", "")): callers(it) for it in all_spans}
    assert ways["journeys", ""][:2] == ["api wayfare.Journeys/Search", "api GET /api/journeys"]
    assert ways["journeys", "postgresql"][0] == "journeys wayfare.Journeys/Search"
    assert ways["journeys", "redis"][0] == "journeys wayfare.Journeys/Search"
    assert ways["api", "postgresql"] == ["api POST /api/bookings"]
    booking = next(it for it in all_spans if it["name"] == "POST /api/bookings")
    assert booking["facts"]["request_id"] == request
    # Probes of what it depends on are no request's.
    assert {it["traceId"].lower() for it in all_spans} == {trace}
    assert lines
    assert {line["trace_id"] for line in lines} == {trace}


def test_a_statement_in_postgresql_leads_back_to_its_request(wayfare: Stack) -> None:
    request = f"visit-{uuid.uuid4().hex}"
    running = "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE application_name = 'api-blue-1'"

    def led_back() -> bool:
        # What a connection was last asked; the next probe may ask it something else.
        assert wayfare.ask("api", "/api/places", headers={"X-Request-ID": request}).status == 200
        return f"/*request_id='{request}'*/" in wayfare.sql(running)

    until(led_back, 30, "the request's id in a statement")


def test_without_its_collector_a_replica_answers_and_ends_as_ever(wayfare: Stack) -> None:
    with wayfare.replica("web", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as web:
        wayfare.until_ready(web)
        assert wayfare.ask(web, "/").status == 200
        docker("stop", wayfare.container(web))
        assert wayfare.exit_code(web) == 0
