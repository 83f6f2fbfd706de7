"""Third parties asked over HTTPS by the program of the host; what it writes, read by the real exporter."""

from __future__ import annotations

import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.third_parties import (
    FOLDER,
    listing,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import ThirdParty
from certificates import issue
from host_programs import installed
from images import newest

SECRET = "Bearer 5f0c3e"
# Looks that a machine which stalls has time for.
PATIENCE = 120


class Api(http.server.BaseHTTPRequestHandler):
    """Says of each path what the test wants; without the secret there is no entry to /private."""

    answers: dict[str, tuple[int, dict[str, str]]] = {}

    def do_GET(self) -> None:
        status, headers = self.answers.get(self.path, (200, {}))
        if self.path == "/private" and self.headers.get("Authorization") != SECRET:
            status = 401
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve(folder: Path, name: str) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, float]]]:
    """What the program tells, by metric and third party, while it runs."""
    monkeypatch.setattr(Api, "answers", {})
    tls, release, metrics = (tmp_path / name for name in ("tls", "release", "metrics"))
    for folder in (tls, metrics, release / FOLDER / "secrets"):
        folder.mkdir(parents=True)
    metrics.chmod(0o755)
    ca = issue(tls, "ca", 90)
    issue(tls, "api.test", 90, ca)
    issue(tls, "stranger.test", 90)
    servers = [serve(tls, name) for name in ("api.test", "stranger.test")]
    known, strange = (f"https://127.0.0.1:{server.server_address[1]}" for server in servers)

    def party(url: str, **changes: Any) -> ThirdParty:
        usual = {"method": "GET", "expect": 200, "every": 1, "within": 20000, "slow": 19000}
        rest = {"few": None, "authorization_secret": None, "severity": "warning"}
        return ThirdParty(url, **{**usual, **rest, **changes})

    parties = {
        "open": party(f"{known}/open", few=100),
        "private": party(f"{known}/private", authorization_secret="pay"),
        "without": party(f"{known}/private"),
        "stranger": party(f"{strange}/"),
        "nowhere": party("https://nowhere.invalid/"),
    }
    (release / FOLDER / "list.json").write_text(listing(parties))
    (release / FOLDER / "secrets/pay").write_text(f"{SECRET}\n")
    file = metrics / "third_parties.prom"
    # As a host whose bundle has the company's CA; nothing goes by a proxy.
    environment = {"SSL_CERT_FILE": str(tls / "ca.crt"), "PATH": os.environ["PATH"]}
    program = installed("third_parties", tmp_path / "program")
    command = [sys.executable, "-I", str(program), str(release), str(metrics)]
    process = subprocess.Popen(command, env=environment, stderr=(tmp_path / "journal").open("w"))

    def look() -> dict[str, float]:
        text = file.read_text() if file.exists() else ""
        found = re.findall(r'^slipway_third_party_(\w+)\{third_party="(\w+)"\} (\S+)$', text, re.M)
        return {f"{party} {metric}": float(value) for metric, party, value in found}

    try:
        yield look
    finally:
        process.kill()
        process.wait()
        for server in servers:
            server.shutdown()
            server.server_close()


def eventually(look: Callable[[], dict[str, float]], wanted: dict[str, float]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        seen = look()
        if all(seen.get(key) == value for key, value in wanted.items()):
            return
        time.sleep(0.2)  # between two looks
    assert {key: look().get(key) for key in wanted} == wanted


def test_who_answers_who_does_not_and_why(told: Callable[[], dict[str, float]], tmp_path: Path) -> None:
    up = {"open up": 1, "private up": 1, "without up": 0, "stranger up": 0, "nowhere up": 0}
    statuses = {"open status": 200, "without status": 401, "stranger status": 0, "nowhere status": 0}
    eventually(told, {**up, **statuses})
    journal = (tmp_path / "journal").read_text()
    assert "without: it answered 401, expected 200\n" in journal
    assert "stranger: TLS: self-signed certificate\n" in journal
    assert "nowhere: its name does not resolve: " in journal
    assert SECRET not in journal + (tmp_path / "metrics/third_parties.prom").read_text()


def test_a_limit_is_seen_from_afar_reached_and_left_behind(told: Callable[[], dict[str, float]]) -> None:
    limit = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "40"}
    Api.answers["/open"] = (200, limit)
    eventually(told, {"open remaining": 40, "open limit": 5000, "open few": 100, "open limited": 0})
    Api.answers["/open"] = (429, {"RateLimit-Remaining": "0", "Retry-After": "1"})
    eventually(told, {"open limited": 1, "open remaining": 0, "open retry_after_seconds": 1, "open up": 0})
    # A limit is no outage.
    assert told()["open failures_in_a_row"] == 0
    Api.answers["/open"] = (503, {})
    eventually(told, {"open failures_in_a_row": 2, "open limited": 0})
    Api.answers["/open"] = (200, {})
    eventually(told, {"open failures_in_a_row": 0, "open up": 1})
    assert "open remaining" not in told()


def test_the_exporter_of_the_host_takes_what_is_told(
    told: Callable[[], dict[str, float]], tmp_path: Path
) -> None:
    eventually(told, {"private up": 1, "nowhere failures_in_a_row": 1})
    script = (
        "prometheus-node-exporter --collector.disable-defaults --collector.textfile "
        "--collector.textfile.directory=/host/metrics --web.listen-address=127.0.0.1:9100 & "
        "for _ in $(seq 300); do curl -fsS http://127.0.0.1:9100/metrics && exit; sleep 0.2; done; exit 1"
    )
    run = ["docker", "run", "--rm", "--interactive", "--network=none"]
    mount = f"--volume={tmp_path / 'metrics'}:/host/metrics:ro"
    command = [*run, mount, newest("node-exporter"), "sh", "-c", script]
    exported = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    assert "node_textfile_scrape_error 0\n" in exported
    assert 'node_textfile_mtime_seconds{file="/host/metrics/third_parties.prom"}' in exported
    assert 'slipway_third_party_up{third_party="private"} 1\n' in exported
    assert 'slipway_third_party_up{third_party="nowhere"} 0\n' in exported
    checked = subprocess.run(
        [*run, newest("prometheus"), "promtool", "check", "metrics"],
        input=(tmp_path / "metrics/third_parties.prom").read_text(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (checked.returncode, json.dumps(checked.stdout + checked.stderr)) == (0, '""')
