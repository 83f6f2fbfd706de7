"""What a host tells of its replicas' memory: from a kernel of either version, and an engine that answers."""

from __future__ import annotations

import importlib.util
import json
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/host/files/replica_memory.py"
SPEC = importlib.util.spec_from_file_location("replica_memory", PROGRAM)
replica_memory = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(replica_memory)

CONTAINERS = [
    {"Id": "c1", "Labels": {"com.docker.compose.service": "api-green-1"}},
    {"Id": "c2", "Labels": {"com.docker.compose.service": "my-web-blue-12"}},
    {"Id": "c3", "Labels": {"com.docker.compose.service": "postgres"}},
]


class Engine(BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        body = json.dumps(CONTAINERS).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "socket"

    def log_message(self, format, *args):
        """Say nothing."""


@pytest.fixture
def engine(tmp_path):
    server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "docker.sock"), Engine)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield str(tmp_path / "docker.sock")
    server.shutdown()
    server.server_close()


def group(root, place, **files):
    folder = root / place
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def version_1(root, place, used, cache, limit):
    stat = f"inactive_file 1\ntotal_inactive_file {cache}\ntotal_active_file 7"
    names = {"memory__usage_in_bytes": used, "memory__limit_in_bytes": limit, "memory__stat": stat}
    group(root / "memory", place, **names)


def version_2(root, place, used, cache, limit):
    stat = f"anon 5\ninactive_file {cache}"
    group(root, place, memory__current=used, memory__max=limit, memory__stat=stat)


@pytest.mark.parametrize("place", ["docker/c1", "system.slice/docker-c1.scope"], ids=["cgroupfs", "systemd"])
@pytest.mark.parametrize("version", [version_1, version_2])
def test_cache_that_can_be_given_back_is_not_used(tmp_path, version, place):
    version(tmp_path, place, 1000, 300, 4096)
    assert replica_memory.used("c1", tmp_path) == (700, 4096)


@pytest.mark.parametrize(("version", "limit"), [(version_1, 9223372036854771712), (version_2, "max")])
def test_no_limit_is_none(tmp_path, version, limit):
    version(tmp_path, "docker/c1", 1000, 0, limit)
    assert replica_memory.used("c1", tmp_path) == (1000, 0)


def test_a_container_that_has_just_ended_is_left_out(tmp_path):
    assert replica_memory.used("c1", tmp_path) is None


def test_replicas_are_told_with_service_and_pool_and_nothing_else_is(tmp_path, engine):
    version_2(tmp_path, "docker/c1", 1000, 0, 4096)
    version_2(tmp_path, "docker/c2", 2000, 0, "max")
    version_2(tmp_path, "docker/c3", 3000, 0, 4096)
    found = replica_memory.replicas(engine, "shop")
    assert list(replica_memory.metrics(found, tmp_path)) == [
        'slipway_replica_memory_bytes{service="api",pool="green",replica="api-green-1"} 1000\n',
        'slipway_replica_memory_limit_bytes{service="api",pool="green",replica="api-green-1"} 4096\n',
        'slipway_replica_memory_bytes{service="my-web",pool="blue",replica="my-web-blue-12"} 2000\n',
    ]
    assert "com.docker.compose.project%3Dshop" in Engine.asked[-1] and "running" in Engine.asked[-1]


def test_the_file_is_written_again_and_again_and_the_engine_may_come_later(tmp_path):
    script = (
        "import importlib.util, pathlib, sys; "
        f"s = importlib.util.spec_from_file_location('m', {str(PROGRAM)!r}); "
        "m = importlib.util.module_from_spec(s); s.loader.exec_module(m); m.SECONDS = 1; "
        f"m.main('shop', pathlib.Path({str(tmp_path / 'memory.prom')!r}), {str(tmp_path / 'docker.sock')!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr.readline().startswith("not measured: FileNotFoundError")
        server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "docker.sock"), Engine)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        limit = time.monotonic() + 20
        while not (tmp_path / "memory.prom").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        assert (tmp_path / "memory.prom").read_text() == replica_memory.HEADER
        assert (tmp_path / "memory.prom").stat().st_mode & 0o777 == 0o644
        server.shutdown()
        server.server_close()
    finally:
        process.kill()
        process.wait()
