"""Traces from one host's collector to the one that judges, the store and somebody else's intake, as deployed.

The other intake is OpenTelemetry's own receiver for OTLP over HTTP. What `wayfare` itself sends:
apps/wayfare/tests/system/test_traces.py; the whole way from the edge: molecule/default/tests/test_traces.py.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_integrations import Export
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.module_utils._core.transport import Place, Trust, request
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from images import newest
from playwright.sync_api import expect, sync_playwright
from whole_stack import IMAGES, SECRETS, stack, with_traces

SUBNETS = [f"10.98.{number}" for number in range(160, 192)]
LIMIT = 240
CHROMIUM = "/usr/bin/chromium"
TRACES = 10_000
# Tells what the edge would hand on, by the edge's own configuration.
EDGE = """
daemon off;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
    map $http_x_request_id $slipway_request_id { default $http_x_request_id; }
    map $host $slipway_counted { default 1; }
    client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
    uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
    include traces.conf;
    server {
        listen 8080;
        location / { return 200 "00-$slipway_trace-$slipway_span-01 $slipway_tracestate"; }
    }
}
"""
PARTS = ("config/edge/traces", "config/collector/", "config/logs-proxy/", "config/host/", "docker-compose")
SINK = """
receivers: {otlp: {protocols: {http: {endpoint: "0.0.0.0:4318"}}}}
exporters: {span_lines: {endpoint: "http://127.0.0.1:1", retry_on_failure: {enabled: false}}}
service:
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 8888}}}}]}}
  pipelines: {traces: {receivers: [otlp], exporters: [span_lines]}}
"""


def docker(*argv: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return (done.stdout + done.stderr).strip()


def until(question: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not question():
        assert time.monotonic() < deadline, f"waited {LIMIT} s in vain for {what}"
        time.sleep(0.2)  # between two looks


def span(service: str, trace: str, name: str, **more: Any) -> dict[str, Any]:
    """As OTLP has it in JSON, with its service."""
    began = time.time_ns()
    own = more.pop("own", secrets.token_hex(8))
    attributes = [
        {"key": key, "value": {"stringValue": value}} for key, value in more.pop("facts", {}).items()
    ]
    milliseconds = more.pop("took", 5)
    return {
        "service": service,
        "traceId": trace,
        "spanId": own,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(began),
        "endTimeUnixNano": str(began + milliseconds * 1_000_000),
        "attributes": attributes,
        **more,
    }


def otlp(spans: Sequence[Mapping[str, Any]]) -> bytes:
    resources = []
    for service in sorted({it["service"] for it in spans}):
        own = [{k: v for k, v in it.items() if k != "service"} for it in spans if it["service"] == service]
        named = [{"key": "service.name", "value": {"stringValue": service}}]
        resources.append({"resource": {"attributes": named}, "scopeSpans": [{"spans": own}]})
    return json.dumps({"resourceSpans": resources}).encode()


@dataclass
class Bench:
    """h1 is the edge's host, h2 the store's; beside them somebody else's collector."""

    name: str
    subnet: str
    folder: Path

    def address(self, part: str) -> str:
        return f"{self.subnet}.{ {'h1': 11, 'h2': 12, 'proxy': 13, 'sink': 14, 'edge': 15}[part] }"

    @property
    def trust(self) -> Trust:
        tls = self.folder / "h2/config/host/tls"
        return Trust(f"{tls}/ca.crt", f"{tls}/tls.crt", f"{tls}/tls.key")

    def get(self, path: str) -> tuple[int, bytes]:
        place = Place(self.address("proxy"), 8443, self.trust, "h2.test")
        reply = request(place, path, "h2.test", LIMIT, most=64 << 20)
        return reply.status, reply.body

    def ask(self, query: str) -> list[dict[str, Any]]:
        status, body = self.get(f"/traces/select/logsql/query?{urllib.parse.urlencode({'query': query})}")
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def send(self, spans: Sequence[Mapping[str, Any]]) -> None:
        """As an SDK does: what is refused for want of room is sent again."""
        asked = urllib.request.Request(
            f"http://{self.address('h1')}:4318/v1/traces", otlp(spans), {"Content-Type": "application/json"}
        )

        def taken() -> bool:
            try:
                with urllib.request.urlopen(asked, timeout=LIMIT) as answer:
                    return bool(answer.status == 200)
            except urllib.error.HTTPError as error:
                assert error.code in (429, 503), error.read()
                return False

        until(taken, "the collector to take spans")

    def figure(self, part: str, name: str) -> float:
        with urllib.request.urlopen(f"http://{self.address(part)}:8888/metrics", timeout=LIMIT) as answer:
            lines = answer.read().decode().splitlines()
        own = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in own)

    def is_up(self) -> bool:
        try:
            [self.figure(part, "up") for part in ("h1", "h2", "sink")]
            return self.get("/traces/health")[0] == 200
        except (OSError, HTTPException):
            return False

    def judge(self, **settings: Any) -> None:
        """Other settings of what is kept."""
        path = self.folder / "h2/config/collector/collector.yml"
        told = yaml.safe_load(path.read_text())
        told["processors"]["whole_traces"] |= settings
        path.write_text(yaml.safe_dump(told))
        docker("restart", f"{self.name}-h2")
        until(self.is_up, "the collector")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    name = f"slipway-test-traces-{os.getpid()}"
    folder = tmp_path_factory.mktemp("traces")
    folder.chmod(0o755)
    bench = Bench(name, _network(name), folder)
    try:
        _start(bench)
        until(bench.is_up, "all to be up")
        yield bench
    finally:
        for part in ("edge", "h1", "sink", "h2", "proxy", "traces"):
            docker("rm", "--force", "--volumes", f"{name}-{part}", check=False)
        docker("network", "rm", name)


def _network(name: str) -> str:
    for subnet in SUBNETS:
        argv = ["docker", "network", "create", f"--subnet={subnet}.0/24", name]
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return subnet
    pytest.fail("none of this test's networks is free")


def _start(bench: Bench) -> None:
    exports = {"elsewhere": Export(f"http://{bench.address('sink')}:4318/v1/traces", None)}
    base = with_traces(stack(2, hosts=("h1.test",)), share=100, wait=2000, exports=exports)
    hosts = tuple(Host(f"{part}.test", bench.address(part)) for part in ("h1", "h2"))
    laid = topology(replace(base, hosts=hosts))
    now = datetime.now(UTC)
    ca = pki.new_ca("test", now)
    pairs = {it.name: pki.issue(ca, [it.name, it.address], now) for it in hosts}
    certificates = {name: (pair.certificate, pair.key) for name, pair in pairs.items()}
    certificates["edge"] = certificates["h1.test"]
    images = dict.fromkeys([*IMAGES, *base.services], "i")
    definitions = {}
    for host in hosts:
        part = host.name.removesuffix(".test")
        material = Material(images, SECRETS, ca.certificate, certificates, {})
        for file in render(laid, laid.views[host.name], material):
            if not file.path.startswith(PARTS):
                continue
            path = bench.folder / part / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            # No port is published here: what is 4318 of the host is the container's own 4319.
            text = file.content.replace(f"{bench.address('h2')}:4318", f"{bench.address('h2')}:4319")
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        composed = yaml.safe_load((bench.folder / part / "docker-compose.prod.yml").read_text())
        definitions[part] = composed["services"]
    (bench.folder / "sink").mkdir()
    (bench.folder / "sink/collector.yml").write_text(SINK)
    (bench.folder / "socket").mkdir()
    (bench.folder / "socket").chmod(0o777)
    (bench.folder / "h1/config/edge/nginx.conf").write_text(EDGE)
    store = definitions["h2"]["traces"]["command"]
    _run(bench, "traces", "victoria-logs", store, "--volume=/var/lib/victoria-logs", "--network-alias=traces")
    _run(bench, "sink", "collector", ["collector"], f"--volume={bench.folder}/sink:/config:ro")
    proxy = [
        f"--volume={bench.folder}/h2/config/logs-proxy:/config:ro",
        "--tmpfs=/tmp",
        "--publish=127.0.0.1::8080",
    ]
    _run(bench, "proxy", "nginx", definitions["h2"]["logs-proxy"]["command"], *proxy)
    for part in ("h2", "h1"):
        mounts = [f"--volume={bench.folder}/{part}/config/collector:/config:ro"]
        mounts += [f"--volume={bench.folder}/socket:/run/edge-traces"] if part == "h1" else []
        definition = definitions[part]["collector"]
        mounts += [f"--memory={definition['mem_limit']}"]
        mounts += [f"--env={key}={value}" for key, value in definition["environment"].items()]
        _run(bench, part, "collector", definition["command"], *mounts)
    edge = ["--tmpfs=/tmp", f"--volume={bench.folder}/socket:/run/edge-traces:ro"]
    edge += [f"--volume={bench.folder}/h1/config/edge:/config:ro"]
    _run(bench, "edge", "nginx", ["nginx", "-c", "/config/nginx.conf"], *edge)


def _run(bench: Bench, part: str, image: str, command: Sequence[str], *options: str) -> None:
    usual = ["--init", "--read-only", "--cap-drop=ALL", "--user=10001:10001", f"--network={bench.name}"]
    usual += [] if part == "traces" else [f"--ip={bench.address(part)}"]
    docker("run", "--detach", *usual, f"--name={bench.name}-{part}", *options, newest(image), *command)


def _through_nginx(bench: Bench, headers: Mapping[str, str]) -> str:
    asked = urllib.request.Request(f"http://{bench.address('edge')}:8080/", headers=dict(headers))
    with urllib.request.urlopen(asked, timeout=LIMIT) as answer:
        return str(answer.read().decode())


def test_ten_thousand_traces_are_taken_found_and_told_to_somebody_else(bench: Bench) -> None:
    ids = [secrets.token_hex(16) for _ in range(TRACES)]
    for first in range(0, TRACES, 250):
        batch = []
        for number, trace in enumerate(ids[first : first + 250], first):
            own, below = secrets.token_hex(8), secrets.token_hex(8)
            facts = {"request_id": f"request-{number:05d}"}
            batch += [
                span("api", trace, "POST /api/bookings", own=own, facts=facts, took=20),
                span("journeys", trace, "Search", own=below, parentSpanId=own, took=10),
                span("journeys", trace, "SELECT", parentSpanId=below, facts={"db.system.name": "postgresql"}),
            ]
        bench.send(batch)
    until(
        lambda: bench.ask("root:=true trace_spans:=3 | stats count() traces")[0]["traces"] == str(TRACES),
        "all traces to be in the store",
    )
    found = {row["trace_id"] for row in bench.ask("root:=true | fields trace_id")}
    assert found == set(ids)
    until(
        lambda: bench.figure("sink", "otelcol_receiver_accepted_spans") == 3 * TRACES,
        "all spans to be with somebody else",
    )
    for part in ("h1", "h2"):
        for name in ("send_failed", "enqueue_failed"):
            assert bench.figure(part, f"otelcol_exporter_{name}_spans") == 0, (part, name)
    took = {}
    for name, query in {
        "by request": 'root:=true trace_id:in(request_id:="request-07777" | fields trace_id)',
        "whole": f'trace_id:="{ids[4242]}"',
        "slow of a service": "root:=true trace_services:api trace_ms:>=9 | sort by (_time desc) limit 100",
    }.items():
        began = time.monotonic()
        rows = bench.ask(query)
        took[name] = round((time.monotonic() - began) * 1000)
        assert len(rows) == {"by request": 1, "whole": 3, "slow of a service": 100}[name]
    print(f"\nsearches among {TRACES} traces, ms: {took}")


def test_where_none_is_kept_those_with_errors_and_slow_ones_are_whole(bench: Bench) -> None:
    bench.judge(share=0)
    bad, slow, good = (secrets.token_hex(16) for _ in range(3))
    for trace in (bad, slow, good):
        own = secrets.token_hex(8)
        bench.send([span("edge", trace, "GET api", own=own)])
        status = {"status": {"code": 2, "message": "away"}} if trace == bad else {}
        took = 2000 if trace == slow else 3
        bench.send([span("api", trace, "GET /api/places", parentSpanId=own, took=took, **status)])
    until(lambda: len(bench.ask(f'trace_id:in("{bad}", "{slow}")')) == 4, "both traces")
    # It came before the last of them, so it has been judged.
    assert bench.ask(f'trace_id:="{good}"') == [] or pytest.fail("kept")
    (first,) = bench.ask(f'root:=true trace_id:="{bad}"')
    assert (first["trace_status"], first["trace_services"], first["service"]) == ("error", "api edge", "edge")
    # What comes later still goes where its trace went.
    bench.send([span("journeys", bad, "late"), span("journeys", good, "late")])
    until(lambda: len(bench.ask(f'trace_id:="{bad}"')) == 3, "the late span")
    assert len(bench.ask(f'root:=true trace_id:="{bad}"')) == 1
    bench.judge(share=1)


def test_slow_traces_without_end_leave_room_for_those_with_errors(bench: Bench) -> None:
    # An hour's worth is 3 600 spans, of which slow ones may have half.
    bench.judge(share=0, most_kept=1)
    for _batch in range(20):
        bench.send([span("edge", secrets.token_hex(16), "trickled", took=2000) for _ in range(200)])
    bad = secrets.token_hex(16)
    bench.send([span("api", bad, "GET /", status={"code": 2, "message": "away"})])
    until(lambda: bench.ask(f'trace_id:="{bad}"'), "the trace with an error")
    kept = int(bench.ask("root:=true _msg:=trickled | stats count() traces")[0]["traces"])
    assert 1800 <= kept < 2400, kept
    assert bench.figure("h2", "slipway_traces_judged") >= 4001
    bench.judge(share=1, most_kept=0)


def test_the_edge_begins_a_trace_or_joins_the_clients(bench: Bench) -> None:
    joined, given = secrets.token_hex(16), secrets.token_hex(8)
    plain = _through_nginx(bench, {"X-Request-ID": "plain-request"})
    client = {"traceparent": f"00-{joined}-{given}-00", "tracestate": "a=b"}
    followed = _through_nginx(bench, {"X-Request-ID": "joined-request", **client})
    broken = _through_nginx(bench, {**client, "traceparent": f"00-{joined}-{given}-zz"})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01 ", plain)
    assert re.fullmatch(f"00-{joined}-(?!{given})[0-9a-f]{{16}}-01 a=b", followed)
    assert re.fullmatch(f"00-(?!{joined})[0-9a-f]{{32}}-[0-9a-f]{{16}}-01 ", broken)
    for told, request_id, parent in ((plain, "plain-request", None), (followed, "joined-request", given)):
        _version, trace, own, _flags = told.split(" ")[0].split("-")
        until(lambda trace=trace: bench.ask(f'trace_id:="{trace}"'), "the edge's span")
        (found,) = bench.ask(f'trace_id:="{trace}"')
        assert (found["service"], found["host"], found["_msg"]) == ("edge", "h1.test", "GET")
        assert (found["span_id"], found.get("parent_id"), found["request_id"]) == (own, parent, request_id)
        assert json.loads(found["attributes"])["http.response.status_code"] == 200


def test_nobody_hands_in_spans_without_a_certificate_of_the_environment(bench: Bench) -> None:
    address = bench.address("h2")
    own = Trust(bench.trust.ca)
    with pytest.raises((OSError, HTTPException)):
        request(Place(address, 4319, own), "/v1/traces", address, LIMIT)
    # Nor is the store written to from outside.
    assert bench.get("/traces/insert/jsonline")[0] == 404


def test_the_page_for_the_browser_asks_the_store_of_traces(bench: Bench) -> None:
    def status(path: str) -> tuple[int, str]:
        reply = request(Place(bench.address("proxy"), 8080), path, "localhost:9429", LIMIT)
        return reply.status, reply.body.decode()

    assert "<form" in status("/traces")[1]
    assert status("/traces.js")[0] == 200
    assert status("/traces/select/logsql/query?query=*%20%7C%20limit%201")[0] == 200
    assert status("/traces/insert/jsonline")[0] == 404
    assert 'href="traces"' in status("/")[1]


def test_a_browser_shows_traces_and_one_of_them_as_a_waterfall(bench: Bench) -> None:
    trace, own = secrets.token_hex(16), secrets.token_hex(8)
    facts = {"request_id": "seen <b>in</b> a browser"}
    bench.send([span("api", trace, "GET /api/places", own=own, facts=facts, took=40)])
    status = {"status": {"code": 2, "message": "away"}}
    bench.send([span("journeys", trace, "Search", parentSpanId=own, took=10, **status)])
    until(lambda: len(bench.ask(f'trace_id:="{trace}"')) == 2, "the trace")
    published = docker("port", f"{bench.name}-proxy", "8080/tcp").splitlines()[0].rpartition(":")[2]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(f"http://localhost:{published}/traces")
        page.fill("[name=id]", facts["request_id"])
        page.select_option("[name=status]", "error")
        page.click("button")
        row = page.locator("#rows tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text(facts["request_id"])
        expect(row).to_contain_text("api journeys")
        page.click("#rows a")
        spans = page.locator("#waterfall details")
        expect(spans).to_have_count(2)
        names = page.locator("#waterfall .name")
        assert [it.strip() for it in names.all_inner_texts()] == ["api GET /api/places", "journeys Search"]
        outer, inner = (page.locator("#waterfall i").nth(number).bounding_box() for number in (0, 1))
        assert outer and inner and inner["width"] < outer["width"] / 2
        spans.nth(1).locator("summary").click()
        expect(spans.nth(1)).to_contain_text("error: away")
        browser.close()
    # The icon that browsers ask for by themselves is not there.
    assert [it for it in errors if "404" not in it] == []


def test_while_the_store_is_away_services_are_answered_and_what_is_kept_waits(bench: Bench) -> None:
    trace = secrets.token_hex(16)
    docker("stop", f"{bench.name}-traces")
    began = time.monotonic()
    bench.send([span("api", trace, "GET /")])
    print(f"\nanswered within {(time.monotonic() - began) * 1000:.0f} ms while the store was away")
    time.sleep(4)  # it is judged, and sent in vain
    docker("start", f"{bench.name}-traces")
    until(lambda: bench.is_up() and bench.ask(f'trace_id:="{trace}"'), "the trace")
