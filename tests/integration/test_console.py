"""The console behind the edge, both as deployed, before a stand-in for Prometheus and Alertmanager."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import grafana_sources
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from ansible_collections.slipway.compose.plugins.plugin_utils import render as rendering
from images import newest
from whole_stack import IMAGES, SECRETS, stack, with_console, with_logs, with_traces

SUBNETS = [f"10.98.{number}" for number in range(160, 192)]
LIMIT = 120
DOMAIN = "ops.wayfare.test"
RIGHT = f"operator:{SECRETS['console_password']}"
# Tells what it was asked, and with what.
STAND_IN = """daemon off; pid /tmp/nginx.pid; error_log stderr; events {}
http {
    access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
    uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; default_type text/plain;
    server { listen 9090; listen 9093;
        return 200 "$server_port $request_method $request_uri [$http_authorization] [$http_cookie]"; }
}
"""
# In the place of the log store's proxy: who comes without a certificate is not heard.
STORE = """daemon off; pid /tmp/store.pid; error_log stderr; events {}
http {
    access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
    uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; default_type text/plain;
    server { listen 9428 ssl; ssl_certificate /config/tls/tls.crt; ssl_certificate_key /config/tls/tls.key;
        ssl_client_certificate /config/tls/ca.crt; ssl_verify_client on;
        return 200 "store $request_method $request_uri [$http_x_slipway_reader]"; }
}
"""


def docker(*argv: str) -> str:
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str


@dataclass
class Bench:
    """Where the edge and the console are; who made their certificates."""

    name: str
    subnet: str
    folder: Path

    def ask(
        self,
        path: str,
        login: str | None = RIGHT,
        method: str = "GET",
        directly: bool = True,
        **headers: str,
    ) -> Answer:
        address = f"{self.subnet}.{10 if directly else 11}"
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        connection = http.client.HTTPSConnection(address, 8443, timeout=30, context=context)
        # Neither has a name here, and where its library connects is nothing that types know of.
        there: Any = connection
        there._create_connection = lambda _place, *more: _connected(address, *more)
        # The name that the edge is asked for; the console is asked for its host.
        connection.host = "localhost" if directly else DOMAIN
        sent = {"Host": DOMAIN, **headers}
        if login is not None:
            sent["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        try:
            connection.request(method, path, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()


def _connected(address: str, *more: Any) -> Any:
    return socket.create_connection((address, 8443), *more)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    name = f"slipway-test-console-{os.getpid()}"
    folder = tmp_path_factory.mktemp("console")
    folder.chmod(0o755)
    bench = Bench(name, _network(name), folder)
    with pytest.MonkeyPatch.context() as patched:
        # What is published elsewhere is asked in its container here.
        patched.setitem(rendering.CONSOLE_PORTS, "console", 8443)
        try:
            _start(bench)
            _until(lambda: _answers(bench))
            yield bench
        finally:
            for part in ("edge", "store", "console", "stand-in"):
                subprocess.run(
                    ["docker", "rm", "--force", "--volumes", f"{name}-{part}"],
                    capture_output=True,
                    check=False,
                )
            docker("network", "rm", name)


def _network(name: str) -> str:
    for subnet in SUBNETS:
        argv = ["docker", "network", "create", f"--subnet={subnet}.0/24", name]
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return subnet
    pytest.fail("none of this test's networks is free")


def _start(bench: Bench) -> None:
    base = with_console(with_traces(with_logs(stack(1, cors_origins=("https://wayfare.test",)))))
    base = replace(base, hosts=(Host("h1.test", f"{bench.subnet}.10"),), images={"grafana": "grafana:1"})
    now = datetime.now(UTC)
    ca = pki.new_ca("test", now)
    (bench.folder / "ca.crt").write_text(ca.certificate)
    host = pki.issue(ca, ["h1.test", "localhost"], now)
    edge = pki.issue(ca, [DOMAIN, "wayfare.test"], now, pki.SERVES)
    certificates = {"h1.test": (host.certificate, host.key), "edge": (edge.certificate, edge.key)}
    images = dict.fromkeys([*IMAGES, *base.services], "i")
    laid = topology(base)
    material = rendering.Material(images, SECRETS, ca.certificate, certificates, {})
    for file in rendering.render(laid, laid.views["h1.test"], material):
        path = bench.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content, encoding="utf-8")
        path.chmod(0o644)
    (bench.folder / "config/stand-in").mkdir()
    (bench.folder / "config/stand-in/nginx.conf").write_text(STAND_IN)
    services = yaml.safe_load((bench.folder / "docker-compose.prod.yml").read_text())["services"]
    common = ["--init", "--read-only", "--cap-drop=ALL", "--user=10001:10001", "--tmpfs=/tmp"]
    common += ["--network", bench.name]
    for part, last, aliases in (
        ("stand-in", 12, ("prometheus", "alertmanager")),
        ("console", 10, ()),
        ("edge", 11, ()),
    ):
        own = [f"--network-alias={alias}" for alias in aliases]
        own += ["--ip", f"{bench.subnet}.{last}", "--name", f"{bench.name}-{part}"]
        own += [f"--volume={bench.folder / 'config' / part}:/config:ro"]
        command = services[part]["command"] if part in services else services["edge"]["command"]
        docker("run", "--detach", *common, *own, newest("nginx"), *command)
    # It has the same host's address as the console.
    (bench.folder / "config/console/store.conf").write_text(STORE)
    alone = [one for one in common if one not in ("--network", bench.name)]
    own = [f"--network=container:{bench.name}-console", "--name", f"{bench.name}-store"]
    own += [f"--volume={bench.folder / 'config/console'}:/config:ro"]
    docker("run", "--detach", *alone, *own, newest("nginx"), "nginx", "-c", "/config/store.conf")


def _answers(bench: Bench) -> bool:
    try:
        return bench.ask("/").status == 200 and bench.ask("/", None, directly=False).status == 401
    except (OSError, HTTPException):
        return False


def _until(question: Any) -> None:
    deadline = time.monotonic() + LIMIT
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.2)  # between two looks


@pytest.mark.parametrize(
    "login", [None, "operator:wrong", "operator:", f"root:{SECRETS['console_password']}"]
)
@pytest.mark.parametrize("path", ["/", "/dashboards.json", "/prometheus/api/v1/query?query=up", "/users"])
def test_without_the_password_nothing_is_told(bench: Bench, login: str | None, path: str) -> None:
    answer = bench.ask(path, login)
    assert answer.status == 401
    assert answer.headers["Set-Cookie"] is None
    assert "up" not in answer.text


def test_with_it_there_are_the_page_and_its_dashboards(bench: Bench) -> None:
    page = bench.ask("/")
    assert page.status == 200
    assert 'src="console.js"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "HttpOnly" in page.headers["Set-Cookie"]
    assert (
        bench.ask("/console.js").headers["Content-Type"].startswith(("application/javascript", "text/java"))
    )
    book = bench.ask("/docs/runbooks/console.md")
    assert book.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "## ConsoleDown" in book.text
    told = json.loads(bench.ask("/dashboards.json").text)
    assert told["dashboards"][0]["name"] == "overview"


@pytest.mark.parametrize(
    ("method", "path", "passed_on"),
    [
        ("GET", "/prometheus/api/v1/query?query=up", "9090 GET /api/v1/query?query=up"),
        ("POST", "/prometheus/api/v1/query_range", "9090 POST /api/v1/query_range"),
        ("GET", "/prometheus/api/v1/label/host/values", "9090 GET /api/v1/label/host/values"),
        ("GET", "/alertmanager/api/v2/silences", "9093 GET /api/v2/silences"),
    ],
)
def test_questions_are_passed_on_without_the_password(
    bench: Bench, method: str, path: str, passed_on: str
) -> None:
    assert bench.ask(path, method=method, Cookie="slipway_console=a").text == f"{passed_on} [] []"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/prometheus/api/v1/admin/tsdb/delete_series?match[]=up"),
        ("POST", "/prometheus/api/v1/query/../admin/tsdb/snapshot"),
        ("POST", "/prometheus/api/v1/query%2f..%2fadmin/tsdb/snapshot"),
        ("POST", "/prometheus/-/reload"),
        ("PUT", "/prometheus/-/quit"),
        ("DELETE", "/prometheus/api/v1/query"),
        ("GET", "/prometheus/api/v1/status/config"),
        ("POST", "/prometheus/api/v1/write"),
        ("POST", "/alertmanager/api/v2/silences"),
        ("POST", "/alertmanager/api/v2/alerts"),
        ("DELETE", "/alertmanager/api/v2/silence/3"),
        ("GET", "/alertmanager/api/v2/status"),
        ("POST", "/alertmanager/-/reload"),
        ("POST", "/logs/insert/jsonline"),
        ("GET", "/logs/audit/select/logsql/query"),
        ("GET", "/users"),
        ("GET", "/nginx.conf"),
        ("GET", "/../users"),
        ("GET", "/%2e%2e/users"),
        ("GET", "/tls/tls.key"),
        ("PUT", "/index.html"),
    ],
)
def test_what_is_no_question_is_refused(bench: Bench, method: str, path: str) -> None:
    answer = bench.ask(path, method=method)
    assert answer.status in (400, 403, 404, 405)
    assert not answer.text.startswith("909")


def _reads(bench: Bench, path: str, word: str | None, method: str = "GET") -> tuple[int, str]:
    """What Grafana is answered, beside the console."""
    connection = http.client.HTTPConnection(f"{bench.subnet}.10", 8082, timeout=30)
    try:
        connection.request(method, path, headers={grafana_sources.HEADER: word} if word else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_grafana_asks_the_stores_with_its_word(bench: Bench) -> None:
    """By the sources that it is given, with no certificate of its own."""
    told = json.loads((bench.folder / "config/grafana/provisioning/datasources/slipway.yml").read_text())
    lines = [one for one in told["datasources"] if one["type"] == grafana_sources.LINES]
    assert [one["name"] for one in lines] == ["Logs", "Traces"]
    for one, before in zip(lines, ("", "/traces"), strict=True):
        _, _, start = one["url"].partition(":8082")
        word = one["secureJsonData"]["httpHeaderValue1"]
        for path in ("/select/logsql/query?query=*", "/select/logsql/field_names", "/health"):
            answer = _reads(bench, start + path, word, "POST")
            assert answer == (200, f"store POST {before}{path} []"), "and the store does not hear the word"
        for wrong in (None, "", "invented"):
            assert _reads(bench, f"{start}/select/logsql/query", wrong)[0] == 403
        for path in (
            "/insert/jsonline",
            "/metrics",
            "/../audit/select/logsql/query",
            "/select/../insert/jsonline",
        ):
            assert _reads(bench, start + path, word)[0] in (400, 404)
        assert _reads(bench, f"{start}/select/logsql/query", word, "DELETE")[0] == 403


def test_the_edge_says_the_same_and_adds_its_headers(bench: Bench) -> None:
    answer = bench.ask("/", directly=False, Origin="https://wayfare.test", Cookie=_cookie(bench))
    assert answer.status == 200
    assert answer.headers["Strict-Transport-Security"]
    # One policy, that of the console; and no other origin, though the stack lets it read its services.
    assert answer.headers.get_all("Content-Security-Policy") == [
        policy
        for policy in answer.headers.get_all("Content-Security-Policy")
        if "script-src 'self'" in policy
    ]
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert bench.ask("/", None, directly=False, Cookie=_cookie(bench)).status == 401


def _cookie(bench: Bench) -> str:
    return str(bench.ask("/").headers["Set-Cookie"]).partition(";")[0]


def test_who_guesses_is_slowed_down_and_who_knows_is_not(bench: Bench) -> None:
    cookie = _cookie(bench)
    tried = [bench.ask("/", f"operator:guess-{turn}", directly=False).status for turn in range(40)]
    assert set(tried) == {401, 429}
    # Even a right guess is not seen to be one.
    assert bench.ask("/", directly=False).status == 429
    assert bench.ask("/", directly=False, Cookie="slipway_console=invented").status == 429
    known = [bench.ask("/dashboards.json", directly=False, Cookie=cookie).status for _turn in range(40)]
    assert set(known) == {200}


def test_no_log_has_the_password(bench: Bench) -> None:
    for part in ("edge", "console"):
        command = ["docker", "logs", f"{bench.name}-{part}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        said = told.stdout + told.stderr
        assert part == "console" or DOMAIN in said
        assert SECRETS["console_password"] not in said
        assert base64.b64encode(RIGHT.encode()).decode() not in said
