"""The program as it is installed: what it is started with, what it leaves behind, what nobody sees of it."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from export_program import ExportProgram
from file_journal import FileJournal

# Seconds that a machine which stalls has time for.
PATIENCE = 60
KEY = "hidden-key-of-ours"


class Receiver(http.server.ThreadingHTTPServer):
    """Takes all, and keeps it."""

    daemon_threads, block_on_close = True, False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.got: list[tuple[str, str, Any]] = []


class _Post(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, self.headers["Authorization"], json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks


def bodies(receiver: Receiver) -> list[str]:
    return [
        json.loads(record["body"]["stringValue"])["request_id"]
        for _path, _key, told in receiver.got
        for speaker in told["resourceLogs"]
        for record in speaker["scopeLogs"][0]["logRecords"]
    ]


def test_it_sends_what_is_said_and_goes_on_where_it_was_told_to_end(
    receiver: Receiver, tmp_path: Path
) -> None:
    journal = FileJournal(tmp_path)
    url = f"http://127.0.0.1:{receiver.server_address[1]}/v1/logs"
    program = ExportProgram(tmp_path, journal, "lake-1", url, headers={"Authorization": KEY})
    try:
        journal.says(3)
        program.start()
        until(lambda: len(bodies(receiver)) == 3)
        # Where neither a journal nor a list of processes may show it.
        assert KEY not in program.seen_by_others
        assert program.stop() == 0
        assert program.place == "c3"
        journal.says(2)
        program.start()
        until(lambda: len(bodies(receiver)) == 5)
        assert program.stop() == 0
    finally:
        program.kill()
    assert bodies(receiver) == [f"request-{number:06d}" for number in range(1, 6)]
    assert {(path, key) for path, key, _told in receiver.got} == {("/v1/logs", KEY)}
    assert program.told("behind_seconds") >= 0
    assert program.said == ""
