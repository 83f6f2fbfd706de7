"""Prometheus and Alertmanager as they are deployed, on the loopback, and metrics that a test makes up."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from images import newest
from side_by_side import free_port
from sinks import eventually


class Exporter(http.server.ThreadingHTTPServer):
    """Metrics that a test changes."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Metrics)
        self.text = 'tried_down{service="api"} 0\n'


class _Metrics(http.server.BaseHTTPRequestHandler):
    server: Exporter

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def get(url: str, login: str = "") -> bytes:
    request = urllib.request.Request(url)
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def ask(prometheus: str, query: str, login: str = "") -> list[Any]:
    found: list[Any] = json.loads(get(f"{prometheus}/api/v1/query?query={query}", login))["data"]["result"]
    return found


def samples(prometheus: str, series: str) -> float:
    """What it says of itself, whatever labels follow."""
    start = series.rstrip("}")
    lines = get(f"{prometheus}/metrics").decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


@contextmanager
def prometheus(
    folder: Path, settings: dict[str, Any], *arguments: str, scheme: str = "http", login: str = ""
) -> Iterator[str]:
    """A real one, with the settings in `folder`; its address."""
    port = free_port()
    name = f"slipway-test-monitoring-{os.getpid()}-{port}"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    folder.chmod(0o755)
    argv = ["docker", "run", "--detach", "--rm", "--network=host", "--name", name, "--tmpfs=/data:mode=1777"]
    command = ["prometheus", "--config.file=/config/prometheus.yml", "--storage.tsdb.path=/data", *arguments]
    listen = f"--web.listen-address=127.0.0.1:{port}"
    mount = f"--volume={folder}:/config:ro"
    started = [*argv, "--user=10001:10001", mount, newest("prometheus"), *command, listen]
    subprocess.run(started, check=True, capture_output=True)
    try:
        address = f"{scheme}://127.0.0.1:{port}"
        assert eventually(lambda: get(f"{address}/-/ready", login))
        yield address
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """A real one, with the settings in `folder`; its address."""
    port = free_port()
    name = f"slipway-test-monitoring-{os.getpid()}-{port}"
    argv = ["docker", "run", "--detach", "--rm", "--network=host", "--name", name, "--tmpfs=/data:mode=1777"]
    command = ["prometheus-alertmanager", "--config.file=/config/alertmanager.yml", "--storage.path=/data"]
    command += ["--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}"]
    started = [*argv, "--user=10001:10001", f"--volume={folder}:/config:ro", newest("alertmanager"), *command]
    subprocess.run(started, check=True, capture_output=True)
    try:
        address = f"http://127.0.0.1:{port}"
        assert eventually(lambda: get(f"{address}/-/ready"))
        yield address
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)
