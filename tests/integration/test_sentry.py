"""Faults of the reference application, as sentry-sdk in its image tells a sink that speaks the protocol."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import issue
from images import newest
from sinks import Sink, eventually, serving

APPLICATION = Path(__file__).resolve().parents[2] / "apps/wayfare"
IMAGE = "slipway-test-wayfare:sentry"
PROJECT, KEY = "42", "3f2a9c"


@pytest.fixture(scope="module")
def image() -> str:
    """Of the sources as they are."""
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    authorities = environment.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    argv = ["/usr/bin/docker", "build", "-q", f"--secret=id=ca_bundle,src={authorities}"]
    argv += ["--build-arg", f"BASE={newest('base')}", "-t", IMAGE]
    subprocess.run([*argv, str(APPLICATION)], env=environment, check=True, capture_output=True)
    return IMAGE


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    tmp_path.chmod(0o755)
    issue(tmp_path, "sink.test", 90, issue(tmp_path, "ca", 90))
    with serving(server := Sink(tmp_path, "0.0.0.0")):
        yield server


class Web:
    """A replica of `web`, in which every request meets a bug."""

    def __init__(self, container: str) -> None:
        self.container = container
        form = "{{.NetworkSettings.IPAddress}}"
        self.address = docker("inspect", "--format", form, container)
        assert eventually(lambda: self.get("/live") == 200)

    def get(self, path: str, request_id: str = "r-0") -> int:
        request = urllib.request.Request(
            f"http://{self.address}:8080{path}", headers={"X-Request-ID": request_id}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def log(self) -> str:
        return docker("logs", self.container)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def web(image: str, folder: Path, dsn: str) -> Iterator[Web]:
    """As a host runs it: read-only, nobody's user, the memory of the smallest service; the DSN as a file."""
    (folder / "dsn").write_text(dsn)
    variables = {
        "MISBEHAVE": "bugs=1",
        "SENTRY_DSN_FILE": "/run/secrets/dsn",
        "SENTRY_CA_FILE": "/run/secrets/ca.crt",
        "SENTRY_ENVIRONMENT": "staging",
        "SENTRY_RELEASE": "wayfare@77aa00ff11ee",
        "SLIPWAY_SERVICE": "web",
        "SLIPWAY_REPLICA": "web-blue-1",
        "WAYFARE_DRAIN_DELAY": "0",
    }
    told = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
    argv = ["run", "--detach", "--init", "--read-only", "--memory=128m", "--cap-drop=ALL"]
    argv += ["--add-host=sink.test:host-gateway", f"--volume={folder}:/run/secrets:ro", *told]
    container = docker(*argv, image, "web")
    try:
        yield Web(container)
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False)


def dsn(sink: Sink, key: str = KEY) -> str:
    return f"https://{key}@sink.test:{sink.server_address[1]}/{PROJECT}"


def events(sink: Sink) -> list[dict[str, Any]]:
    """As https://develop.sentry.dev has envelopes: a line of headers, then items of a length each."""
    found = []
    for path, headers, body in list(sink.got):
        assert path == f"/api/{PROJECT}/envelope/"
        assert headers["content-type"] == "application/x-sentry-envelope"
        assert re.match(rf"Sentry (.*, )?sentry_key={KEY}\b.*", headers["x-sentry-auth"])
        assert "sentry_version=7" in headers["x-sentry-auth"]
        assert headers["content-encoding"] == "gzip"
        first, _, rest = gzip.decompress(body).partition(b"\n")
        assert json.loads(first)["event_id"]
        while rest.strip():
            about, _, rest = rest.partition(b"\n")
            item = json.loads(about)
            content, rest = rest[: item["length"]], rest[item["length"] :].lstrip(b"\n")
            if item["type"] == "event":
                found.append(json.loads(content))
    return found


def test_a_bug_is_told_with_its_stack_its_release_and_the_id_of_the_request(
    image: str, sink: Sink, tmp_path: Path
) -> None:
    with web(image, tmp_path, dsn(sink)) as replica:
        assert replica.get("/?passenger=Ada", "r-4711") == 500
        assert eventually(lambda: events(sink))
    (event,) = events(sink)
    assert (event["release"], event["environment"]) == ("wayfare@77aa00ff11ee", "staging")
    assert event["server_name"] == "web-blue-1"
    assert event["tags"]["request_id"] == "r-4711" and event["tags"]["service"] == "web"
    (exception,) = event["exception"]["values"]
    assert exception["type"] == "RuntimeError"
    assert exception["stacktrace"]["frames"][-1]["function"] == "raise_if_told_to"
    text = json.dumps(event)
    # Neither what was asked, nor by whom, nor what the exception says, nor any variable.
    assert "value" not in exception
    assert not [it for it in ("Ada", "passenger", "172.", '"vars"', "cookie") if it in text]


def test_no_request_waits_for_a_sink_that_does_not_answer(image: str, sink: Sink, tmp_path: Path) -> None:
    over = threading.Event()
    sink.before = over.wait
    try:
        with web(image, tmp_path, dsn(sink)) as replica:
            # More than its queue takes. Not one of them would be answered if it waited.
            assert [replica.get("/", f"r-{number}") for number in range(150)] == [500] * 150
            assert not over.is_set() and eventually(lambda: sink.got)
            docker("stop", "--time=60", replica.container)
            assert docker("inspect", "--format", "{{.State.ExitCode}}", replica.container) == "0"
    finally:
        over.set()


def test_without_a_sink_it_serves_all_the_same(image: str, sink: Sink, tmp_path: Path) -> None:
    with web(image, tmp_path, "https://3f2a9c@sink.test:1/42") as replica:
        assert [replica.get("/") for _ in range(20)] == [500] * 20
        assert replica.get("/live") == 200


def test_a_dsn_that_is_none_is_said_and_stops_nothing(image: str, sink: Sink, tmp_path: Path) -> None:
    with web(image, tmp_path, "https://sink.test/42") as replica:
        assert replica.get("/live") == 200
        assert '"message": "faults are not reported"' in replica.log()
