"""The router as it is deployed, and replicas on other hosts; one vanishes while requests wait, or all do."""

from __future__ import annotations

import csv
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from certificates import issue
from images import newest
from whole_stack import rendered, stack, with_service

# Of which one is taken that no other run of this test has, or left behind.
SUBNETS = [f"10.98.{number}" for number in range(64, 96)]
LIMIT = 120
# A replica answers what is `held` once it is released, and begins to read after `lazy` seconds.
REPLICA = """
import http.server, os, sys, threading, time
from urllib.parse import parse_qs, urlsplit
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        time.sleep(float(asked.get("lazy", ["0"])[0]))  # as slow as it is asked to be
        self.rfile.read(int(self.headers.get("content-length") or 0))
        while "held" in asked and not os.path.exists("/tmp/released"):
            time.sleep(0.05)  # between two looks
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    do_GET = do_POST = answer
    def log_message(self, *said): pass
servers = [http.server.ThreadingHTTPServer(("", int(port)), Handler) for port in sys.argv[1:]]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
"""
# Beyond the 65 s after which the router gives up a service that says nothing.
CURL = (
    "curl --silent --max-time 100 --unix-socket /run/router/http.sock --output /dev/null "
    "--header 'Host: wayfare.test' --write-out '%{method} %{http_code}\\n'"
)


@dataclass(frozen=True)
class Answer:
    method: str
    status: int


@dataclass(frozen=True)
class Bench:
    """A router and the replicas of `api` on some hosts, of each pool one."""

    name: str
    hosts: int

    def start(self, *requests: str) -> subprocess.Popen[str]:
        """Send requests side by side: curl's arguments of each."""
        script = "".join(f"{CURL} {request} & " for request in requests) + "wait"
        argv = ["docker", "exec", f"{self.name}-router", "sh", "-c", script]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def answers(self, sending: subprocess.Popen[str]) -> list[Answer]:
        told, _nothing = sending.communicate(timeout=LIMIT)
        lines = [line.split() for line in told.splitlines()]
        return [Answer(method, int(status)) for method, status in lines]

    def unplug(self, which: str = "2") -> None:
        docker("network", "disconnect", self.name, f"{self.name}-{which}")

    def until_ready(self, status: int) -> None:
        """Wait until the edge would say whether new clients shall come."""
        ask = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
        reach = ("--unix-socket", "/run/router/reach.sock", "http://x/")
        limit = time.monotonic() + LIMIT
        while (told := docker("exec", f"{self.name}-router", *ask, *reach)) != str(status):
            assert time.monotonic() < limit, told
            time.sleep(0.2)  # between two looks

    def release(self) -> None:
        """Let the replicas of the host that is left answer what they hold."""
        docker("exec", f"{self.name}-1", "touch", "/tmp/released")

    def until(self, column: str, value: str) -> None:
        """Wait until the router tells the same of every replica."""
        limit = time.monotonic() + LIMIT
        while (told := self._told(column)) != [value] * 2 * self.hosts:
            assert time.monotonic() < limit, (column, told, docker("logs", f"{self.name}-router"))
            time.sleep(0.2)  # between two looks

    def _told(self, column: str) -> list[str]:
        """A column of the router's statistics, of each replica; nothing before it answers."""
        ask = ("curl", "--silent", "http://127.0.0.1:8405/stats;csv")
        argv = ["docker", "exec", f"{self.name}-router", *ask]
        asked = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
        rows = [row for row in csv.DictReader(asked.stdout.splitlines()) if row["# pxname"] == "api"]
        return [row[column] for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]


def docker(*command: str) -> str:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, f"docker {' '.join(command)}: {done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def name() -> str:
    return f"slipway-test-lost-{os.getpid()}"


@pytest.fixture
def hosts() -> int:
    return 2


@pytest.fixture
def addresses(name: str, hosts: int) -> Iterator[tuple[str, ...]]:
    """A network, and an address in it for each host."""
    for subnet in SUBNETS:
        command = ["docker", "network", "create", f"--subnet={subnet}.0/24", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        if done.returncode == 0:
            break
    else:
        raise AssertionError(done.stderr)
    try:
        yield tuple(f"{subnet}.{10 + number}" for number in range(1, hosts + 1))
    finally:
        docker("network", "rm", name)


@pytest.fixture
def bench(name: str, addresses: tuple[str, ...], tmp_path: Path) -> Iterator[Bench]:
    base = with_service(stack(len(addresses)), "api", replicas=1)
    pairs = zip(base.hosts, addresses, strict=True)
    base = replace(base, hosts=tuple(replace(host, address=address) for host, address in pairs))
    files = rendered(base)
    tmp_path.chmod(0o755)
    for path, content in files.items():
        if path.startswith("config/router/"):
            target = tmp_path / path.removeprefix("config/router/")
            target.parent.mkdir(parents=True, exist_ok=True)
            # A machine that stalls for two seconds must not cost the router the replicas that are left.
            target.write_text(content.replace("timeout check 2s", "timeout check 20s"))
    (tmp_path / "tls").mkdir(exist_ok=True)
    issue(tmp_path / "tls", "router", days=1)
    certificate, key = ((tmp_path / f"tls/router.{kind}").read_text() for kind in ("crt", "key"))
    (tmp_path / "tls/ca.crt").write_text(certificate)
    (tmp_path / "tls/tls.pem").write_text(certificate + key)
    ports = sorted({str(replica.port) for replica in topology(base).replicas_of("api")})
    containers = [f"{name}-{part}" for part in ("router", *range(1, len(addresses) + 1))]
    try:
        for number, address in enumerate(addresses, 1):
            where = ("--network", name, "--ip", address, "--name", f"{name}-{number}")
            serve = ("--init", newest("postgres"), "python3", "-c", REPLICA, *ports)
            docker("run", "--detach", *where, *serve)
        run = ("haproxy", "-W", "-db", "-f", "/config/haproxy.cfg")
        own = "uid=10001,gid=10001,mode=0750"
        folders = (f"--tmpfs=/run/router:{own}", f"--tmpfs=/state:{own}", "--tmpfs=/tmp")
        # As the Compose file has it; a test of what is rendered holds the two together.
        settings = ("--user=10001:10001", "--sysctl=net.ipv4.tcp_retries2=4")
        options = (
            *settings,
            *folders,
            f"--volume={tmp_path}:/config:ro",
            "--network",
            name,
            "--name",
            containers[0],
        )
        docker("run", "--detach", *options, newest("haproxy"), *run)
        made = Bench(name, len(addresses))
        made.until("check_status", "L7OK")
        yield made
    finally:
        docker("rm", "--force", "--volumes", *containers)


def test_requests_to_a_vanished_host_end_soon_and_reading_is_repeated(bench: Bench) -> None:
    held = "'http://x/api/?held'"
    reading = bench.start(*[held] * 4)
    bench.until("scur", "1")
    writing = bench.start(*[f"--data x {held}"] * 4)
    bench.until("scur", "2")
    bench.unplug()
    bench.release()
    # A router that takes the lost host for a slow service answers 504 after 65 s.
    assert bench.answers(reading) == [Answer("GET", 200)] * 4
    assert sorted(answer.status for answer in bench.answers(writing)) == [200, 200, 502, 502]


def test_a_replica_that_does_not_read_for_long_is_not_taken_for_a_lost_one(bench: Bench) -> None:
    upload = "head -c 30000000 /dev/zero | " + CURL + " --data-binary @- 'http://x/api/?lazy=10'"
    argv = ["docker", "exec", f"{bench.name}-router", "sh", "-c", upload]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.split()[1] == "200", done.stdout


@pytest.mark.parametrize("hosts", [3])
def test_an_edge_that_reaches_no_other_host_is_not_ready_for_clients(bench: Bench) -> None:
    bench.until_ready(200)
    # One may be lost. It is rendered for the first host, whose own replicas do not count.
    bench.unplug("2")
    bench.until_ready(200)
    bench.unplug("3")
    bench.until_ready(503)
