"""Whom tests send a host's lines to: a real OpenTelemetry Collector, a real VictoriaLogs, a moody server."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from images import newest
from side_by_side import free_port
from sinks import Sink, eventually

LIMIT = 120


def records(body: bytes) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What a request holds: of whom, and what."""
    for speaker in json.loads(body).get("resourceLogs", []):
        whose = flat(speaker["resource"]["attributes"])
        for scope in speaker["scopeLogs"]:
            for record in scope["logRecords"]:
                yield whose, record


def flat(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {it["key"]: next(iter(it["value"].values())) for it in attributes}


def numbers(body: bytes) -> list[int]:
    """Of the journal's lines that a request holds."""
    return [
        int(flat(record["attributes"])["log.record.uid"].rpartition("-")[2])
        for _whose, record in records(body)
    ]


def unpacked(got: tuple[str, dict[str, str], bytes]) -> bytes:
    _path, headers, body = got
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


class Collector:
    """A real one, as another company's would stand: it hands on what it takes, and keeps nothing."""

    def __init__(self, folder: Path, tls: Path, sink: Sink) -> None:
        self.port = free_port()
        self.name = f"slipway-test-log-exports-{os.getpid()}-{self.port}"
        behind = {
            "logs_endpoint": f"{sink.url}/v1/logs",
            "encoding": "json",
            "compression": "none",
            "tls": {"ca_file": "/config/ca.crt"},
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
        settings = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.port}"}}}},
            "exporters": {"otlp_http": behind},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http"]}},
            },
        }
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "collector.yml").write_text(yaml.safe_dump(settings))
        (folder / "ca.crt").write_bytes((tls / "ca.crt").read_bytes())
        argv = ["run", "--detach", "--network=host", "--name", self.name, f"--volume={folder}:/config:ro"]
        self.docker(*argv, newest("collector"), "collector", "--config", "/config/collector.yml")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/logs"

    def docker(self, *argv: str) -> str:
        done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False, timeout=LIMIT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True, check=False)


def asked(url: str, **form: str) -> bytes:
    body = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, body, timeout=LIMIT) as answer:
        content: bytes = answer.read()
    return content


@contextmanager
def victoria_logs() -> Iterator[str]:
    """Somebody else's VictoriaLogs, which reads Protocol Buffers; its address."""
    port = free_port()
    name = f"slipway-test-log-exports-{os.getpid()}-{port}"
    argv = ["docker", "run", "--detach", "--rm", "--network=host", "--name", name, newest("victoria-logs")]
    command = ["victoria-logs", f"-httpListenAddr=127.0.0.1:{port}", "-storageDataPath=/tmp/logs"]
    subprocess.run([*argv, *command], check=True, capture_output=True, timeout=LIMIT)
    try:
        address = f"http://127.0.0.1:{port}"
        assert eventually(lambda: asked(f"{address}/health") == b"OK")
        yield address
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)


class Moody:
    """Answers as a receiver may that has its reasons: once each, in this order."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._turns: list[Callable[[], None]] = [self._busy, self._away, self._part, self._strange]
        self.heard: Counter[int] = Counter()
        sink.before = self.answer

    def answer(self) -> None:
        body = unpacked(self._sink.got[-1])
        self._say(200)
        if b"poison" in body:
            self._say(400, body=b"a line is none")
        elif self._turns:
            self._turns.pop(0)()
        if self._sink.status == 200:
            self.heard.update(numbers(body))

    def _say(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self._sink.status, self._sink.body = status, body
        self._sink.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def _busy(self) -> None:
        self._say(429, Retry_After="1")

    def _away(self) -> None:
        self._say(503)

    def _part(self) -> None:
        told = {"rejectedLogRecords": "2", "errorMessage": "two are too old"}
        self._say(200, json.dumps({"partialSuccess": told}).encode())

    def _strange(self) -> None:
        # Some repeat the key that they do not know.
        self._say(401, f"who is {self._sink.got[-1][1]['x-key']}?".encode())
