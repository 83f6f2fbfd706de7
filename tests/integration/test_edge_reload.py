"""A real nginx with the configuration that is deployed: what a reload does to connections that are kept."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import certificates
import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.edge import Edge
from images import newest
from whole_stack import rendered, stack

DOMAIN = "wayfare.test"
CLIENTS = 12
RELOADS = 3
LIMIT = 120
# In the router's place: a process that reads a request to its end, and answers whatever was asked.
ROUTER = """daemon off; pid /tmp/nginx.pid; error_log stderr; events {}
http { access_log off; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
  uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5; keepalive_requests 100000;
  server { listen unix:/run/router/http.sock; location / { proxy_pass http://unix:/run/router/answer.sock; } }
  server { listen unix:/run/router/answer.sock; location / { return 200 "here"; } }
  server { listen unix:/run/router/reach.sock; location / { return 200 "other hosts are reached"; } } }
"""


def run(argv, stdin=None):
    done = subprocess.run(list(argv), input=stdin or "", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@dataclass
class Place:
    """The edge under test: its state folder, its address, and clients that keep their connections."""

    root: Path
    container: str
    address: str = ""
    failures: list[str] = field(default_factory=list)
    answered: int = 0

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.root / "ca.crt"))
        client = http.client.HTTPSConnection(DOMAIN, 8443, timeout=LIMIT, context=context)
        plain = socket.create_connection((self.address, 8443), LIMIT)
        client.sock = context.wrap_socket(plain, server_hostname=DOMAIN)
        return client

    def answers(self) -> bool:
        """Whether requests come through to what stands in the router's place."""
        try:
            client = self.connect()
            client.request("GET", "/api/x", headers={"Host": DOMAIN})
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def reload(self) -> None:
        subprocess.run(["docker", "kill", "--signal", "HUP", self.container], check=True, capture_output=True)

    def get(self, path: str, name: str) -> tuple[int, str]:
        client = http.client.HTTPConnection(self.address, 8080, timeout=LIMIT)
        client.request("GET", path, headers={"Host": name})
        answer = client.getresponse()
        return answer.status, answer.read().decode()

    @contextmanager
    def clients(self) -> Iterator[None]:
        """Each sends a POST now and then, on a connection that it keeps and does not look at in between."""
        ended = threading.Event()
        threads = [
            threading.Thread(target=self._post, args=(ended, 0.05 + number / 100))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join(LIMIT)

    def until_answered(self, more: int) -> None:
        """Wait until clients have had so many answers more."""
        enough, deadline = self.answered + more, time.monotonic() + LIMIT
        while self.answered < enough:
            assert time.monotonic() < deadline, self.failures
            time.sleep(0.1)  # between two looks

    def _post(self, ended: threading.Event, pause: float) -> None:
        client: http.client.HTTPConnection | None = None
        while not ended.wait(pause):
            try:
                client = client or self.connect()
                client.request("POST", "/api/echo", b"x" * 500, {"Host": DOMAIN})
                answer = client.getresponse()
                body = answer.read()
                assert (answer.status, body) == (200, b"here")
                self.answered += 1
                if answer.will_close:
                    client.close()
                    client = None
            except (OSError, http.client.HTTPException, AssertionError) as problem:
                self.failures.append(repr(problem))
                client = None


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    name = f"slipway-test-edge-{os.getpid()}"
    there = Place(tmp_path, name)
    config = {
        path.removeprefix("config/edge/"): text
        for path, text in rendered(stack()).items()
        if path.startswith("config/edge/") and "/tls/" not in path
    }
    for path, text in config.items():
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / path).write_text(text)
    for folder in ("config/tls", "router", "state/edge", "backend"):
        (tmp_path / folder).mkdir(parents=True)
    certificates.issue(tmp_path, DOMAIN, 30)
    (tmp_path / "config/tls/tls.crt").write_bytes((tmp_path / f"{DOMAIN}.crt").read_bytes())
    (tmp_path / "config/tls/tls.key").write_bytes((tmp_path / f"{DOMAIN}.key").read_bytes())
    (tmp_path / "ca.crt").write_bytes((tmp_path / f"{DOMAIN}.crt").read_bytes())
    (tmp_path / "backend/nginx.conf").write_text(ROUTER)
    (tmp_path / "router").chmod(0o777)
    for up in (tmp_path, *tmp_path.parents[:2]):
        up.chmod(0o755)
    common = ["docker", "run", "--detach", "--user", "10001:10001", "--tmpfs", "/tmp"]
    common += ["--volume", f"{tmp_path}/router:/run/router"]
    own = ["--volume", f"{tmp_path}/config:/config:ro", "--volume", f"{tmp_path}/state/edge:/state:ro"]
    image = newest("nginx")
    try:
        backend = [*common, "--name", f"{name}-router", "--volume", f"{tmp_path}/backend:/config:ro", image]
        subprocess.run([*backend, "nginx", "-c", "/config/nginx.conf"], check=True, capture_output=True)
        edge = [*common, "--name", f"{name}-edge-1", *own, image, "nginx", "-c", "/config/nginx.conf"]
        subprocess.run(edge, check=True, capture_output=True)
        there.container = f"{name}-edge-1"
        ask = ["docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", there.container]
        there.address = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
        deadline = time.monotonic() + LIMIT
        while not there.answers():
            assert time.monotonic() < deadline
            time.sleep(0.2)  # between two looks
        yield there
    finally:
        gone = ["docker", "rm", "--force", f"{name}-router", f"{name}-edge-1"]
        subprocess.run(gone, check=False, capture_output=True)


def edge(place: Place) -> Edge:
    return Edge(run, place.container.removesuffix("-edge-1"), place.root)


def reload_often(place: Place, around: Callable[[], None]) -> None:
    with place.clients():
        for _ in range(RELOADS):
            place.until_answered(3 * CLIENTS)
            around()
        place.until_answered(3 * CLIENTS)


def test_a_reload_fails_no_request_on_a_kept_connection(place: Place) -> None:
    def gently() -> None:
        with edge(place).changing():
            place.reload()

    reload_often(place, gently)
    assert place.failures == []


def test_a_reload_without_care_does(place: Place) -> None:
    """What the test above must be able to see."""
    reload_often(place, place.reload)
    assert place.failures


def test_a_load_balancer_is_told_when_no_new_clients_shall_come(place: Place) -> None:
    ready = "/.well-known/slipway/ready"
    assert place.get(ready, place.address) == (200, "other hosts are reached")
    edge(place).send_away()
    assert place.get(ready, place.address) == (503, "leaving\n")
    client = place.connect()
    client.request("GET", "/api/x", headers={"Host": DOMAIN})
    answer = client.getresponse()
    assert (answer.status, answer.read(), answer.headers["Connection"]) == (200, b"here", "close")
    edge(place).take_back()
    assert place.get(ready, place.address)[0] == 200
    assert place.get("/", place.address)[0] == 421
