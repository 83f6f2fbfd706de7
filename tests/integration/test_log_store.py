"""The log stores behind their proxy as deployed, and the program that sends a host's journal there.

In the journal's place is a file; `molecule/default/tests/test_log_store.py` has a real journal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.log_store import Search, find
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.module_utils._core.transport import Place, Trust, request
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from file_journal import FileJournal
from host_programs import installed
from images import newest
from whole_stack import IMAGES, SECRETS, stack, with_logs

# Of which one is taken that no other run of this test has, or left behind.
SUBNETS = [f"10.98.{number}" for number in range(128, 160)]
LIMIT = 120


def docker(*argv: str) -> str:
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@dataclass
class Bench:
    """Both stores and their proxy; the files of the host that sends there."""

    name: str
    address: str
    folder: Path
    journal: FileJournal
    shipper: subprocess.Popen[bytes] | None = None

    @property
    def trust(self) -> Trust:
        tls = self.folder / "config/host/tls"
        return Trust(f"{tls}/ca.crt", f"{tls}/tls.crt", f"{tls}/tls.key")

    def get(self, path: str, trust: Trust) -> tuple[int, bytes]:
        reply = request(Place(self.address, 8443, trust), path, self.address, LIMIT)
        return reply.status, reply.body

    def ask(self, query: str, store: str = "") -> list[dict[str, Any]]:
        asked = urllib.parse.urlencode({"query": query})
        status, body = self.get(f"{store}/select/logsql/query?{asked}", self.trust)
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def says(self, lines: int, **fields: str) -> None:
        """Write entries to the journal."""
        self.journal.says(lines, **fields)

    def start(self) -> None:
        folders = [str(self.folder / "program"), str(self.folder), str(self.folder / "own")]
        environment = {**os.environ, "PATH": self.journal.path}
        self.shipper = subprocess.Popen([sys.executable, "-I", *folders], env=environment)

    def kill(self) -> None:
        if self.shipper:
            self.shipper.kill()
            self.shipper.wait()
        self.shipper = None

    def numbers(self, store: str = "") -> Counter[int]:
        return Counter(int(row["seq"].partition("-")[2]) for row in self.ask("seq:* | fields seq", store))


def answers(bench: Bench) -> bool:
    try:
        return all(bench.get(path, bench.trust)[0] == 200 for path in ("/health", "/audit/health"))
    except (OSError, HTTPException):
        return False


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    name = f"slipway-test-logs-{os.getpid()}"
    folder = tmp_path_factory.mktemp("logs")
    folder.chmod(0o755)
    subnet = _network(name)
    bench = Bench(name, f"{subnet}.10", folder, FileJournal(folder))
    try:
        installed("log_shipper", folder / "program")
        _start(bench)
        _until(lambda: answers(bench))
        yield bench
    finally:
        bench.kill()
        for part in ("logs-proxy", "audit-logs", "logs"):
            subprocess.run(
                ["docker", "rm", "--force", "--volumes", f"{name}-{part}"], capture_output=True, check=False
            )
        docker("network", "rm", name)


def _network(name: str) -> str:
    for subnet in SUBNETS:
        argv = ["docker", "network", "create", f"--subnet={subnet}.0/24", name]
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return subnet
    pytest.fail("none of this test's networks is free")


def _start(bench: Bench) -> None:
    base = replace(with_logs(stack(1)), hosts=(Host("h1.test", bench.address),))
    now = datetime.now(UTC)
    ca = pki.new_ca("test", now)
    pair = pki.issue(ca, ["h1.test", bench.address], now)
    certificates = dict.fromkeys(["edge", "h1.test"], (pair.certificate, pair.key))
    images = dict.fromkeys([*IMAGES, *base.services], "i")
    laid = topology(base)
    for file in render(
        laid, laid.views["h1.test"], Material(images, SECRETS, ca.certificate, certificates, {})
    ):
        if file.path.startswith(("config/logs-proxy/", "config/host/", "docker-compose")):
            path = bench.folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content, encoding="utf-8")
            path.chmod(0o644)
    definitions = yaml.safe_load((bench.folder / "docker-compose.prod.yml").read_text())["services"]
    for part, image in (("logs", "victoria-logs"), ("audit-logs", "victoria-logs"), ("logs-proxy", "nginx")):
        definition = definitions[part]
        options = [
            "--init",
            "--read-only",
            "--cap-drop=ALL",
            f"--user={definition['user']}",
            "--network",
            bench.name,
        ]
        options += ["--network-alias", part, "--name", f"{bench.name}-{part}"]
        if part == "logs-proxy":
            options += ["--ip", bench.address, "--tmpfs=/tmp"]
            options += [f"--volume={bench.folder / 'config/logs-proxy'}:/config:ro"]
        else:
            options += ["--volume=/var/lib/victoria-logs"]
        docker("run", "--detach", *options, newest(image), *definition["command"])
    (bench.folder / "config/host/logs.json").write_text(
        json.dumps({"name": "h1.test", "host": bench.address, "port": 8443})
    )
    for folder in ("own", "state/metrics"):
        (bench.folder / folder).mkdir(parents=True)


def _until(question: Any) -> None:
    deadline = time.monotonic() + LIMIT
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_without_a_certificate_of_the_environment_nothing_is_told_or_taken(
    bench: Bench, tmp_path: Path
) -> None:
    status, body = bench.get("/select/logsql/query?query=*", Trust(bench.trust.ca))
    assert status == 400
    assert b"No required SSL certificate was sent" in body
    now = datetime.now(UTC)
    stranger = pki.issue(pki.new_ca("stranger", now), ["h1.test"], now)
    (tmp_path / "crt").write_text(stranger.certificate)
    (tmp_path / "key").write_text(stranger.key)
    status, body = bench.get("/health", Trust(bench.trust.ca, str(tmp_path / "crt"), str(tmp_path / "key")))
    assert status == 400
    assert b"The SSL certificate error" in body


@pytest.mark.parametrize(
    "path", ["/", "/internal/force_merge", "/flags", "/debug/pprof/heap", "/insert/loki/api/v1/push"]
)
def test_what_nobody_needs_is_not_there(bench: Bench, path: str) -> None:
    assert bench.get(path, bench.trust)[0] == 404


def test_the_page_for_the_browser_reads_and_does_not_write(bench: Bench) -> None:
    def status(path: str, host: str = "localhost:9429") -> tuple[int, str]:
        reply = request(Place(bench.address, 8080), path, host, LIMIT)
        return reply.status, reply.body.decode()

    page = status("/")
    assert page[0] == 200 and "<form" in page[1]
    assert status("/search.js")[0] == 200
    assert status("/select/logsql/query?query=*%20%7C%20limit%201")[0] == 200
    assert status("/insert/jsonline")[0] == 404
    # Nor does it tell who did what, or answer to a name that somebody else chose.
    assert status("/audit/select/logsql/query?query=*")[0] == 404
    assert status("/", "evil.example.com")[0] == 421


def test_no_line_is_lost_or_doubled_while_store_and_shipper_are_stopped_and_killed(bench: Bench) -> None:
    logs = f"{bench.name}-logs"

    def has_all() -> bool:
        return answers(bench) and bench.numbers().keys() == set(range(1, bench.journal.written + 1))

    bench.start()
    bench.says(500)
    # What it has taken a moment ago is what it might lose, or be given twice.
    _until(has_all)
    docker("stop", logs)
    bench.says(500)
    docker("start", logs)
    _until(has_all)
    docker("kill", logs)
    bench.says(500, SYSLOG_FACILITY="10")
    docker("start", logs)
    _until(has_all)
    bench.kill()
    bench.says(500)
    bench.start()
    _until(has_all)
    # All is on the store's disk: nothing comes a second time any more.
    place = bench.folder / "own/place.json"
    _until(lambda: place.exists() and json.loads(place.read_text())["cursor"] == f"c{bench.journal.written}")
    assert bench.numbers() == Counter(range(1, bench.journal.written + 1))
    # Who did what is in both.
    assert bench.numbers("/audit") == Counter(range(1001, 1501))
    bench.kill()


def test_a_request_is_found_by_its_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{find.__module__}.LOG_PORTS", {"logs-proxy": 8443})
    (found,) = find(Search(request="request-000042"), bench.address, bench.trust, pytest.fail)
    _moment, host, component, said = found.split(" ", 3)
    assert (host, component) == ("h1.test", "host")
    assert json.loads(said)["request_id"] == "request-000042"
    assert find(Search(request="request-00004"), bench.address, bench.trust, pytest.fail) == []
    assert len(find(Search(contains="est-00004", since="1h"), bench.address, bench.trust, pytest.fail)) == 10
    with pytest.raises(SlipwayError, match="does not answer"):
        find(Search(request="x"), "127.0.0.1", bench.trust, pytest.fail)


def test_metrics_of_both_stores_are_to_be_had(bench: Bench) -> None:
    for path in ("/metrics", "/audit/metrics"):
        status, body = bench.get(path, bench.trust)
        assert status == 200
        for metric in ("vl_storage_is_read_only", "vl_data_size_bytes", "vl_rows_dropped_total"):
            assert metric.encode() in body
