"""What others are told, over HTTPS by the real programs: how services fare, from a real Prometheus."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.availability import SETTLED
from ansible_collections.slipway.compose.plugins.module_utils._core.availability_list import FOLDER
from ansible_collections.slipway.compose.plugins.module_utils._core.availability_work import Work
from certificates import issue
from images import newest

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/host"
KEY = base64.b64encode(b"k" * 32).decode()
# Looks that a machine which stalls has time for.
PATIENCE = 120
RULES = """
groups:
  - name: tried
    interval: 1s
    rules:
      - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
      - {alert: ServiceDown, expr: 'tried_down == 1', labels: {severity: critical}}
"""


class Sink(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it over TLS, and answers with a status."""

    daemon_threads = True

    def __init__(self, tls: Path, name: str = "sink.test") -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / f"{name}.crt", tls / f"{name}.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.status = 200
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class _Post(http.server.BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Exporter(http.server.ThreadingHTTPServer):
    """Metrics that a test changes."""

    daemon_threads = True
    text = 'tried_down{service="api"} 0\n'


class _Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.server.text.encode())  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: http.server.ThreadingHTTPServer) -> Iterator[http.server.ThreadingHTTPServer]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError, KeyError, ValueError):
            if found := look():
                return found
        time.sleep(0.2)  # between two looks
    return look()


def free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), _Metrics) as server:
        return int(server.server_address[1])


def ask(prometheus: str, query: str) -> list[Any]:
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?query={query}", timeout=10) as answer:
        found: list[Any] = json.loads(answer.read())["data"]["result"]
    return found


@contextmanager
def prometheus(folder: Path, settings: dict[str, Any], *arguments: str) -> Iterator[str]:
    """A real one, with the settings in `folder`; its address."""
    port = free_port()
    name = f"slipway-test-integrations-{os.getpid()}-{port}"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    folder.chmod(0o755)
    argv = ["docker", "run", "--detach", "--rm", "--network=host", "--name", name, "--tmpfs=/data:mode=1777"]
    command = ["prometheus", "--config.file=/config/prometheus.yml", "--storage.tsdb.path=/data", *arguments]
    listen = f"--web.listen-address=127.0.0.1:{port}"
    mount = f"--volume={folder}:/config:ro"
    started = [*argv, "--user=10001:10001", mount, newest("prometheus"), *command, listen]
    subprocess.run(started, check=True, capture_output=True)
    try:
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: urllib.request.urlopen(f"{address}/-/ready", timeout=5).status == 200)
        yield address
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Certificates by a CA that this process and its children trust."""
    folder = tmp_path / "tls"
    folder.mkdir()
    issue(folder, "sink.test", 90, issue(folder, "ca", 90))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
    monkeypatch.setenv("no_proxy", "*")
    return folder


class Site:
    """A stack of one service whose alert a test makes fire, and a status page that hears of it."""

    def __init__(self, root: Path, page: Sink, exporter: Exporter, address: str) -> None:
        self.root, self.page, self.exporter, self.prometheus = root, page, exporter, address

    def list(self, **changes: Any) -> None:
        hook = {"on": ["down", "up"], "url": None, "url_secret": "url", "signing_secret": "key"}
        told = {
            "prometheus": self.prometheus,
            "where": {"stack": "shop", "environment": "production"},
            "services": ["api", "web"],
            "edges": 2,
            "hooks": [{**hook, "format": "json", **changes}],
        }
        secrets = self.root / "current" / FOLDER / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        (self.root / "state/metrics").mkdir(parents=True, exist_ok=True)
        (secrets / "url").write_text(f"{self.page.url}/hooks/5f0c3e\n")
        (secrets / "key").write_text(f"whsec_{KEY}\n")
        (secrets.parent / "list.json").write_text(json.dumps(told))

    def api_is(self, down: bool) -> None:
        """When it returns, the rules have seen it."""
        self.exporter.text = f'tried_down{{service="api"}} {int(down)}\n'
        query = "ALERTS%7Balertname=%22ServiceDown%22%7D"
        assert eventually(lambda: bool(ask(self.prometheus, query)) == down)

    def heard(self) -> list[tuple[str, str]]:
        return [(json.loads(body)["event"], headers["webhook-id"]) for _, headers, body in self.page.got]

    def metrics(self) -> str:
        return (self.root / "state/metrics/availability.prom").read_text()


@pytest.fixture
def site(tmp_path: Path, tls: Path) -> Iterator[Site]:
    config = tmp_path / "config"
    config.mkdir()
    (config / "rules.yml").write_text(RULES)
    with ExitStack() as open_:
        exporter = Exporter(("127.0.0.1", 0), _Metrics)
        open_.enter_context(serving(exporter))
        page = Sink(tls)
        open_.enter_context(serving(page))
        targets = [{"targets": [f"127.0.0.1:{exporter.server_address[1]}"]}]
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["/config/rules.yml"],
            "scrape_configs": [{"job_name": "tried", "static_configs": targets}],
        }
        address = open_.enter_context(prometheus(config, settings))
        made = Site(tmp_path / "stack", page, exporter, address)
        made.list()
        assert eventually(lambda: ask(address, "ALERTS"))
        yield made


def genuine(headers: dict[str, str], body: bytes) -> bool:
    """As a receiver verifies it, by https://www.standardwebhooks.com."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    recent = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return recent and hmac.compare_digest(headers["webhook-signature"], f"v1,{expected}")


def test_the_program_of_the_host_tells_a_status_page_that_a_service_is_down(site: Site) -> None:
    site.api_is(down=True)
    installed = site.root / "program"
    core = yaml.safe_load((ROLE / "vars/main.yml").read_text())["_host_availability_core"]
    (installed / "core").mkdir(parents=True)
    shutil.copy(ROLE / "files/availability_main.py", installed / "__main__.py")
    for name in core:
        shutil.copy(ROOT / f"plugins/module_utils/_core/{name}.py", installed / "core")
    journal = (site.root / "journal").open("w")
    environment = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-I", str(installed), str(site.root)]
    process = subprocess.Popen(argv, env=environment, stderr=journal)
    try:
        assert eventually(lambda: site.page.got)
        assert eventually(lambda: "untold" in site.metrics())
    finally:
        process.kill()
        process.wait()
    (path, headers, body), *others = site.page.got
    told = json.loads(body)
    assert (path, others) == ("/hooks/5f0c3e", [])
    assert genuine(headers, body) and not genuine(headers, body + b" ")
    assert (told["event"], told["service"]["name"], told["service"]["alerts"]) == (
        "down",
        "api",
        ["ServiceDown"],
    )
    assert 'slipway_availability_state{service="api"} 2\n' in site.metrics()
    assert 'slipway_availability_untold{receiver="127.0.0.1"} 0\n' in site.metrics()
    said = (site.root / "journal").read_text()
    assert said == "127.0.0.1: told that api is down\n", "and neither its URL nor its key"


def test_what_a_page_that_is_away_has_missed_it_is_told_when_it_is_back(site: Site) -> None:
    work, now = Work(site.root / "current", site.root / "state"), time.time()
    site.page.status = 503
    site.api_is(down=True)
    work.turn(now)
    work.turn(now + 5)
    assert len(site.page.got) == 1, "it is not asked again at once"
    assert 'slipway_availability_untold{receiver="127.0.0.1"} 1\n' in site.metrics()
    # Another start of the program, as after a reboot.
    site.page.status = 200
    again = Work(site.root / "current", site.root / "state")
    again.turn(now + 60)
    again.turn(now + 75)
    assert [event for event, _ in site.heard()] == ["down", "down"]
    assert len({identity for _, identity in site.heard()}) == 1, "a receiver can tell that it is the same"
    site.api_is(down=False)
    again.turn(now + 90)
    again.turn(now + 90 + SETTLED - 1)
    assert len(site.heard()) == 2
    again.turn(now + 90 + SETTLED)
    assert [event for event, _ in site.heard()] == ["down", "down", "up"]


def test_without_rules_that_are_evaluated_nobody_is_told_that_all_is_well(site: Site, tmp_path: Path) -> None:
    work, now = Work(site.root / "current", site.root / "state"), time.time()
    site.api_is(down=True)
    work.turn(now)
    site.prometheus = "http://127.0.0.1:1"
    site.list()
    work.turn(now + 15)
    work.turn(now + 15 + SETTLED + 1)
    assert [event for event, _ in site.heard()] == ["down"]
    assert "slipway_availability_asked 0\n" in site.metrics()


def test_a_chat_gets_a_line(site: Site) -> None:
    site.list(format="slack", on=["down"], signing_secret=None)
    site.api_is(down=True)
    Work(site.root / "current", site.root / "state").turn(time.time())
    (_, headers, body), *_ = site.page.got
    text = json.loads(body)["text"]
    assert text.startswith("✘ shop production: api is down since ") and text.endswith(": ServiceDown")
    assert "webhook-signature" not in headers
