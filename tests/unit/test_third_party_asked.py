"""Third parties asked over real sockets: what is sent, and who does not answer or will not end."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import socketserver
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import (
    third_party_watch as program,
)
from made_third_parties import FOLDER, party


class Api(http.server.BaseHTTPRequestHandler):
    seen: list[tuple[str, str, str | None]] = []
    status = 200
    more: dict[str, str] = {}

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        for name, value in self.more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Api, "seen", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_request_is_what_the_stack_says_with_the_secret_of_the_file(api: str, tmp_path: Path) -> None:
    (tmp_path / "pay").write_text("Bearer abc\n")
    asked = party(url=f"{api}/up?deep=1", method="HEAD", authorization="pay")
    assert program.ask(asked, tmp_path).outcome == "ok"
    assert program.ask(party(url=f"{api}/plain"), tmp_path).outcome == "ok"
    assert Api.seen == [("HEAD", "/up?deep=1", "Bearer abc"), ("GET", "/plain", None)]


def test_a_redirect_is_an_answer_and_is_not_followed(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Api, "status", 301)
    monkeypatch.setattr(Api, "more", {"Location": f"{api}/elsewhere"})
    answer = program.ask(party(url=f"{api}/here", expect=301), tmp_path)
    assert (answer.outcome, answer.status) == ("ok", 301)
    assert [path for _method, path, _secret in Api.seen] == ["/here"]


def test_what_does_not_answer_is_a_fault_with_a_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        asked = party(url=f"http://127.0.0.1:{port}/", within=100)
        assert program.ask(asked, tmp_path).fault == "no answer in time"
    answer = program.ask(party(url=f"http://127.0.0.1:{port}/"), tmp_path)
    assert (answer.outcome, answer.status, answer.fault) == ("failed", 0, "Connection refused")


class Drip(socketserver.BaseRequestHandler):
    """Answers byte by byte, and would go on for half a minute."""

    begun = b""
    told_all: list[bool] = []

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.sendall(self.begun)
            for _ in range(600):
                self.request.sendall(b"0")
                time.sleep(0.05)  # for half a minute in all, if nobody hangs up
            self.told_all.append(True)


@pytest.fixture
def drip(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Drip, "told_all", [])
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("begun", "fault"),
    [
        pytest.param(b"HTTP/1.1 2", ("no answer in time",), id="in-its-status"),
        # On a machine at its limit the time is over before the first line has come.
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX-Long: ", ("it answered after ", "no answer in time"), id="in-its-headers"
        ),
    ],
)
def test_an_answer_that_comes_byte_by_byte_is_none(
    drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes, fault: tuple[str, ...]
) -> None:
    monkeypatch.setattr(Drip, "begun", begun)
    answer = program.ask(party(url=drip, within=300), tmp_path)
    assert answer.outcome == "failed"
    assert answer.fault.startswith(fault)
    assert not Drip.told_all


def test_a_secret_that_no_header_can_hold_is_not_told(api: str, tmp_path: Path) -> None:
    (tmp_path / "pay").write_text("Bearer one\nBearer two")
    answer = program.ask(party(url=api, authorization="pay"), tmp_path)
    assert (answer.outcome, answer.fault) == ("failed", "what was sent or answered is no HTTP: ValueError")
    answer = program.ask(party(url=api, authorization="lost"), tmp_path)
    assert answer.fault == "No such file or directory"


def listed(current: Path, **urls: str) -> None:
    folder = current / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    told = {name: {**vars(party()), "url": url} for name, url in urls.items()}
    (folder / "list.json").write_text(json.dumps(told))


def until(question: Any) -> None:
    limit = time.monotonic() + 60
    while not question():
        assert time.monotonic() < limit
        time.sleep(0.02)  # between two looks


def test_the_list_is_that_of_the_release_that_serves(api: str, tmp_path: Path) -> None:
    listed(tmp_path / "one", maps=f"{api}/maps", payments=f"{api}/payments")
    listed(tmp_path / "two", maps=f"{api}/maps", payments=f"{api}/v2")
    current = tmp_path / "current"
    watch = program.Watch(current)
    watch.turn(0.0)
    assert watch.standings == {}
    current.symlink_to("one")

    def turned(now: float, **counts: int) -> bool:
        watch.turn(now)
        return {name: it.counts["ok"] for name, it in watch.standings.items()} == counts

    until(lambda: turned(1.0, maps=1, payments=1))
    # Nobody is asked before the time has come.
    assert turned(60.0, maps=1, payments=1) and not any(it.asked for it in watch.standings.values())
    until(lambda: turned(61.0, maps=2, payments=2))
    current.unlink()
    current.symlink_to("two")
    # Another address is another party, and is asked at once.
    until(lambda: turned(62.0, maps=2, payments=1))
    asked = [path for _method, path, _secret in Api.seen]
    assert [asked.count(path) for path in ("/maps", "/payments", "/v2")] == [2, 2, 1]
    listed(tmp_path / "two")
    watch.turn(63.0)
    assert program.text(watch.standings) == ""


def test_those_who_answer_byte_by_byte_do_not_hold_up_the_others(
    api: str, drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drip, "begun", b"HTTP/1.1 200 OK\r\nX-Long: ")
    stuck = {f"stuck{number:02}": drip for number in range(program.AT_ONCE)}
    listed(tmp_path, **stuck, well=api)
    file = tmp_path / FOLDER / "list.json"
    told = json.loads(file.read_text())
    for name in stuck:
        told[name]["within"] = 300
    file.write_text(json.dumps(told))
    watch = program.Watch(tmp_path)

    def noted() -> bool:
        watch.turn(1.0)
        return all(one.last for one in watch.standings.values())

    until(noted)
    assert watch.standings.pop("well").counts == {"ok": 1}
    assert [one.counts for one in watch.standings.values()] == [{"failed": 1}] * len(stuck)
    assert not Drip.told_all
