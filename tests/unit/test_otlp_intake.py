"""How a host speaks to somebody's intake: what is sent, what an answer means, and that no key is told."""

from __future__ import annotations

import gzip
import http.server
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.logs import otlp_intake
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.journal import UnavailableError
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.otlp_intake import (
    Destination,
    Intake,
)

KEY = "hidden-key-of-ours"


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it and answers as a test says."""

    daemon_threads, block_on_close = True, False
    status, headers, body = 200, {}, b"{}"  # type: tuple[int, dict[str, str], bytes]
    closes = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Post(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {key.lower(): it for key, it in self.headers.items()}, body))
        self.send_response(self.server.status)
        for key, value in self.server.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)
        # As some do without a word, soon after.
        self.close_connection = self.server.closes

    def do_CONNECT(self) -> None:
        self.server.got.append((self.path, {key.lower(): it for key, it in self.headers.items()}, b""))
        self.send_error(403)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    receiver = Receiver()
    with serving(receiver):
        yield receiver


@pytest.fixture
def intake(receiver: Receiver) -> Iterator[Intake]:
    opened = Intake(destination(f"http://127.0.0.1:{receiver.port}/v1/logs?tenant=a"))
    yield opened
    opened.close()


def destination(url: str, encoding: str = "json") -> Destination:
    return Destination(
        url, {"Authorization": f"Bearer {KEY}", "X-Scope": "t"}, encoding, False, "h1", "shop", "lab"
    )


def test_lines_go_as_json_in_gzip_with_the_headers_that_are_asked_for(
    receiver: Receiver, intake: Intake
) -> None:
    assert intake.send(b'{"resourceLogs":[]}').taken
    ((path, headers, body),) = receiver.got
    assert path == "/v1/logs?tenant=a"
    assert headers["content-type"] == "application/json"
    assert headers["content-encoding"] == "gzip"
    assert (headers["authorization"], headers["x-scope"]) == (f"Bearer {KEY}", "t")
    assert gzip.decompress(body) == b'{"resourceLogs":[]}'


def test_a_receiver_that_reads_protocol_buffers_only_answers_in_them(receiver: Receiver) -> None:
    receiver.body = bytes.fromhex("0a0c08ac021207746f6f206f6c64")
    intake = Intake(destination(f"http://127.0.0.1:{receiver.port}/v1/logs", "protobuf"))
    answer = intake.send(b"x")
    intake.close()
    assert (answer.rejected, answer.said) == (300, "too old")
    assert receiver.got[0][1]["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize(
    ("status", "taken", "refused"),
    [
        *[(status, True, False) for status in (200, 202, 204)],
        *[(status, False, True) for status in (400, 406, 409, 413, 414, 422, 451)],
        *[(status, False, False) for status in (301, 307, 401, 403, 404, 405, 408, 415, 429)],
        *[(status, False, False) for status in (500, 501, 502, 503, 504)],
    ],
)
def test_an_answer_means(receiver: Receiver, intake: Intake, status: int, taken: bool, refused: bool) -> None:
    receiver.status, receiver.body = status, b""
    receiver.headers = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    answer = intake.send(b"{}")
    assert (answer.taken, answer.refused) == (taken, refused)
    # A key goes where the stack says, and nowhere else.
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("body", "rejected", "said"),
    [
        (b"", 0, ""),
        (b"{}", 0, ""),
        (b'{"partialSuccess":{}}', 0, ""),
        (b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too\\nold"}}', 3, "too old"),
        (b'{"partialSuccess":{"rejectedLogRecords":3}}', 3, ""),
        (b'{"partialSuccess":{"errorMessage":"soon no more"}}', 0, "soon no more"),
        (b'{"partialSuccess":{"rejectedLogRecords":"many"}}', 0, ""),
        (b'{"partialSuccess":null}', 0, ""),
        (b"[]", 0, ""),
        (b"\n\x02ok", 0, ""),
    ],
)
def test_what_was_left_out_of_an_accepted_request_is_read(
    receiver: Receiver, intake: Intake, body: bytes, rejected: int, said: str
) -> None:
    receiver.body = body
    answer = intake.send(b"{}")
    assert (answer.taken, answer.rejected, answer.said) == (True, rejected, said)


def test_it_hears_how_long_to_wait(receiver: Receiver, intake: Intake) -> None:
    receiver.status = 429
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    waits = []
    for said in ("7", later, "soon"):
        receiver.headers = {"Retry-After": said}
        waits.append(intake.send(b"{}").retry_after)
    assert waits[0] == 7
    assert 3000 < waits[1] <= 3600
    assert waits[2] == 0


def test_a_receiver_is_quoted_without_the_key(receiver: Receiver, intake: Intake) -> None:
    receiver.status, receiver.body = 401, f"no such key:\n {KEY}\x1b[31m (Bearer {KEY})".encode() + b"!" * 999
    said = intake.send(b"{}").said
    assert said.startswith("no such key: … [31m (…)!!")
    assert len(said) == otlp_intake.QUOTED


def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_costs_no_failure(
    receiver: Receiver, intake: Intake
) -> None:
    for _ in range(3):
        assert intake.send(b"{}").taken
    assert receiver.connections == 1
    receiver.closes = True
    for _ in range(3):
        assert intake.send(b"{}").taken
    assert len(receiver.got) == 6


def test_nobody_there_is_no_answer(receiver: Receiver) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as free:
        port = free.server_address[1]
    with pytest.raises(UnavailableError, match="it does not answer: Connection refused"):
        Intake(destination(f"http://127.0.0.1:{port}/")).send(b"{}")
    with pytest.raises(UnavailableError, match="its name does not resolve"):
        Intake(destination("http://nowhere.invalid/")).send(b"{}")


def dripping(piece: bytes, first: bytes = b"") -> type[socketserver.BaseRequestHandler]:
    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(first)
            with suppress(OSError):
                while True:
                    self.request.sendall(piece)
                    time.sleep(0.02)  # never silent for as long as a read may wait

    return Drip


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(dripping(b"H"), id="its-head-never-ends"),
        pytest.param(
            dripping(b" ", b"HTTP/1.1 503 no\r\nContent-Length: 9000000\r\n\r\n"), id="nor-its-words"
        ),
    ],
)
def test_one_that_drips_is_cut_off(
    handler: type[socketserver.BaseRequestHandler], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_intake, "DEADLINE", 0.3)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server, serving(server):
        server.daemon_threads = True
        intake = Intake(destination(f"http://127.0.0.1:{server.server_address[1]}/"))
        with suppress(UnavailableError):  # no head at all
            assert intake.send(b"{}").status == 503
        intake.close()


@pytest.mark.parametrize(
    ("url", "variable", "expected"),
    [
        ("http://logs.test:4318/v1/logs", "http_proxy", "http://logs.test:4318/v1/logs"),
        ("https://logs.test/v1/logs", "https_proxy", "logs.test:443"),
    ],
)
def test_a_proxy_is_asked_as_its_kind_needs_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str, variable: str, expected: str
) -> None:
    monkeypatch.setenv(variable, f"http://us%65r:pass@127.0.0.1:{receiver.port}")
    intake = Intake(destination(url))
    if variable == "http_proxy":
        assert intake.send(b"{}").taken
    else:
        with pytest.raises(UnavailableError, match="403"):
            intake.send(b"{}")
    ((path, headers, _body),) = receiver.got
    assert path == expected
    assert headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    # A proxy of a tunnel is told no key.
    assert ("authorization" in headers) is (variable == "http_proxy")
    monkeypatch.setenv("no_proxy", "logs.test")
    with pytest.raises(UnavailableError, match="does not resolve"):
        Intake(destination(url)).send(b"{}")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda file: file.write_text(f'{{"headers": "{KEY}'), id="half-a-file"),
        pytest.param(lambda file: file.write_text(f'{{"headers": "{KEY}"}}'), id="something-else"),
        pytest.param(lambda file: None, id="no-file"),
    ],
)
def test_settings_that_are_none_are_not_repeated(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    spoil(tmp_path / "x.json")
    with pytest.raises(UnavailableError, match="names no destination") as refused:
        Destination.read(tmp_path / "x.json")
    assert KEY not in str(refused.value)
