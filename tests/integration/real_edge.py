"""nginx and HAProxy as they are deployed, on the loopback, before replicas that do as a test wants."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_probe import Edge, Probed
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_probe_plan import probed
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_prober import EdgeProber
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router import (
    Router,
    client_context,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.routing.router_address import Address
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from certificates import issue
from images import newest
from side_by_side import free_ports
from whole_stack import IMAGES, SECRETS, stack, with_service

DOMAIN = "wayfare.test"
NAME = "h1.test"
SECRET = SECRETS["edge_probe"]
LIMIT = 120


@dataclass
class Replica:
    """One replica of a service. seen: paths and headers.

    answers: path -> (status, body, what to wait for: an event, or nothing).
    """

    name: str
    port: int
    answers: dict[str, tuple[int, str, threading.Event | None]] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    serving: bool = True
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def requests(self, path: str) -> int:
        return sum(asked == path for asked, _headers in self.seen)

    protocol: str = "http"
    stop: Callable[[], None] = field(default=lambda: None)

    def start(self) -> None:
        self.stop = self._grpc() if self.protocol == "grpc" else self._http()

    def _http(self) -> Callable[[], None]:
        replica = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.headers["User-Agent"] != "slipway-router":
                    replica.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                status, body, wait = replica.answers.get(self.path, (200, replica.name, None))
                if wait:
                    wait.wait(LIMIT)
                self.send_response(status)
                for name, value in replica.extra.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                with suppress(OSError):  # whoever asked may have gone
                    self.end_headers()
                    self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

        def stop() -> None:
            server.shutdown()
            server.server_close()

        return stop

    def _grpc(self) -> Callable[[], None]:
        def check(_request: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = {key: str(value) for key, value in context.invocation_metadata()}
            if "x-real-ip" in metadata:  # the router's own checks do not come through the edge
                self.seen.append(("Check", metadata))
            return b"\x08\x01" if self.serving else b"\x08\x02"

        handler = grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
        )
        server = grpc.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((handler,))
        server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        return lambda: server.stop(None) and None


@dataclass
class RealEdge:
    """`counted`: what nginx tells edge-log of users' requests, one line each."""

    stack: Stack
    folder: Path
    https_port: int
    api_port: int
    replicas: dict[str, Replica]
    counted: list[str]

    @property
    def router(self) -> Router:
        return Router(self._address, client_context(self.folder / "tls"))

    @property
    def _address(self) -> Address:
        return Address(f"router on {NAME}", "127.0.0.1", self.api_port)

    def replica(self, name: str) -> Replica:
        return self.replicas[f"{name}.{NAME}"]

    def weigh(self, service: str, **weights: int) -> None:
        """What the pools of a service weigh: blue=100, green=0."""
        wanted = {
            server: weight
            for server in self.replicas
            for pool, weight in weights.items()
            if server.startswith(f"{service}-{pool}-")
        }
        self.router.set_weights(wanted)

    def count_anew(self) -> None:
        """Forget what was counted, and what is still on its way."""
        for replica in self.replicas.values():
            replica.answers["/last"] = (418, "", None)
        self.get("/last")
        until(lambda: any("|418" in line for line in self.counted))
        self.counted.clear()

    def until_up(self) -> None:
        """Wait until users are answered and every replica is found healthy."""
        deadline, problem = time.monotonic() + LIMIT, ""
        while time.monotonic() < deadline:
            try:
                known = self.router.servers().items()
                down = [name for name, it in known if name in self.replicas and it.status.startswith("DOWN")]
                problem = f"down: {down}" if down else str(self.get("/"))
                if not down and self.get("/")[0] == 200:
                    return
            except (OSError, http.client.HTTPException, SlipwayError) as error:
                problem = repr(error)
            time.sleep(0.2)  # between two attempts
        raise AssertionError(problem)

    def prober(self, service: str, pool: str = "green", secret: str = SECRET, count: int = 2) -> EdgeProber:
        told = probed(topology(self.stack), {service: {"new": pool, "replicas": count}})
        subjects = [Probed.from_dict(one) for one in told]
        edge = Edge(NAME, "127.0.0.1", self.https_port, self._address)
        return EdgeProber([edge], subjects, secret, client_context(self.folder / "tls"))

    def get(self, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
        """As a user does."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls/ca.crt"))
        with (
            socket.create_connection(("127.0.0.1", self.https_port), LIMIT) as plain,
            context.wrap_socket(plain, server_hostname=DOMAIN) as channel,
        ):
            client = http.client.HTTPConnection(DOMAIN)
            client.sock = channel
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request("GET", path, headers=named)
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read().decode()


def until(happened: Callable[[], object]) -> None:
    """Wait for what a machine that stalls does late."""
    deadline = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks


def _counting(path: Path, counted: list[str]) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    path.chmod(0o777)

    def read() -> None:
        while True:
            counted.append(listener.recv(4096).decode().partition("edge: ")[2])

    threading.Thread(target=read, daemon=True).start()


def _write(edge: RealEdge, changes: dict[str, str]) -> None:
    """What one host gets, with the ports of this test for those that every host has alike."""
    laid = topology(edge.stack)
    tls = edge.folder / "tls"
    pair = tuple((tls / f"tls.{kind}").read_text() for kind in ("crt", "key"))
    material = Material(
        dict.fromkeys([*IMAGES, *edge.stack.services], "image"),
        SECRETS,
        (tls / "ca.crt").read_text(),
        dict.fromkeys(["edge", *laid.views], pair),
        {},
    )
    for file in render(laid, laid.views[NAME], material):
        component = file.path.split("/")[1] if file.path.startswith("config/") else ""
        if component in ("edge", "router"):
            text = file.content
            for old, new in changes.items():
                text = text.replace(old, new)
            path = edge.folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@contextmanager
def _containers(edge: RealEdge) -> Iterator[None]:
    folder, number = edge.folder, f"{os.getpid()}-{edge.api_port}"
    for name in ("run", "log", "state", "tmp-router", "tmp-edge"):
        (folder / name).mkdir(exist_ok=True)
    for path in folder.rglob("*"):
        path.chmod(0o777 if path.is_dir() or path.is_socket() else 0o644)
    folder.chmod(0o755)
    shared = ["--network", "host", "--user", "10001:10001", "--volume", f"{folder}/run:/run/router"]
    router = [
        "--volume",
        f"{folder}/config/router:/config:ro",
        "--volume",
        f"{folder}/state:/state",
        "--volume",
        f"{folder}/tmp-router:/tmp",
        newest("haproxy"),
        *("haproxy", "-W", "-db", "-f", "/config/haproxy.cfg"),
    ]
    nginx = [
        "--volume",
        f"{folder}/config/edge:/config:ro",
        "--volume",
        f"{folder}/log:/run/edge-log",
        "--volume",
        f"{folder}/tmp-edge:/tmp",
        newest("nginx"),
        *("nginx", "-c", "/config/nginx.conf"),
    ]
    names = {f"slipway-test-router-{number}": router, f"slipway-test-edge-{number}": nginx}
    try:
        for name, argv in names.items():
            command = ["docker", "run", "--detach", "--name", name, *shared, *argv]
            subprocess.run(command, check=True, capture_output=True)
        try:
            edge.until_up()
        except AssertionError as error:
            tails = [["docker", "logs", "--tail", "5", name] for name in names]
            logs = [subprocess.run(tail, capture_output=True, text=True, check=False) for tail in tails]
            raise AssertionError("\n".join(log.stdout + log.stderr for log in logs)) from error
        yield
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", *names], check=True, capture_output=True)


@contextmanager
def real_edge(folder: Path, **changes: dict[str, object]) -> Iterator[RealEdge]:
    """One host's edge and router, and two replicas in each pool of `web`, `api` and `journeys`.

    changes: of services, by name.
    """
    (folder / "tls").mkdir(parents=True)
    ca = issue(folder / "tls", "ca", 90)
    issue(folder / "tls", DOMAIN, 90, ca)
    for kind in ("crt", "key"):
        (folder / "tls" / f"{DOMAIN}.{kind}").rename(folder / "tls" / f"tls.{kind}")
    plain, health, https_port, metrics, api_port = free_ports(5)
    base = stack(1, https_port=https_port, public_https_port=https_port)
    names, first = ("web", "api", "journeys"), free_ports(12)[0]
    base = replace(
        base,
        hosts=(Host(NAME, "127.0.0.1"),),
        services={name: base.services[name] for name in names},
    )
    for number, name in enumerate(names):
        base = with_service(base, name, publish_base=first + 4 * number, **changes.get(name, {}))
    everything = [it for name in names for it in topology(base).replicas_of(name)]
    replicas = {
        it.server: Replica(it.name, it.port, protocol=base.services[it.service].protocol) for it in everything
    }
    edge = RealEdge(base, folder, https_port, api_port, replicas, [])
    own = {
        "listen 8080": f"listen {plain}",
        "listen 8081": f"listen 127.0.0.1:{health}",
        "listen 8443": f"listen {https_port}",
        "bind :8405": f"bind 127.0.0.1:{metrics}",
        "bind :9999": f"bind 127.0.0.1:{api_port}",
        # A machine that stalls must not take healthy replicas out.
        "timeout check 2s": "timeout check 60s",
        "timeout connect 2s": "timeout connect 20s",
    }
    _write(edge, own)
    (folder / "log").mkdir()
    _counting(folder / "log/requests.sock", edge.counted)
    for replica in replicas.values():
        replica.start()
    try:
        with _containers(edge):
            yield edge
    finally:
        for replica in replicas.values():
            replica.stop()


def pools_of(answers: list[str]) -> Counter[str]:
    """How many answers came from which pool; a replica answers with its name."""
    return Counter(answer.split("-")[1] for answer in answers)
