"""A ledger's client against a real HTTPS server that fails in every way a server can."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.drill import ledger_wayfare
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger import (
    ACKNOWLEDGED,
    REFUSED,
    UNKNOWN,
    prove,
    read,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger_client import (
    Client,
    NeverSentError,
    Site,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger_file import (
    LedgerFile,
    events,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger_reader import Reader
from ansible_collections.slipway.compose.plugins.module_utils._core.drill.ledger_writer import Pace, Writer
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.plugin_utils import pki

LISTS = {"places": [{"name": "Berlin"}], "journeys": []}
HASTE = Pace(rate=50, threads=2, timeout=30, patience=120, pause=0.01)


class Application(http.server.BaseHTTPRequestHandler):
    """Books by key, once; `plan` holds what shall go wrong with the next requests."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key, site = self.headers["Idempotency-Key"], self.server
        fault = site.plan.pop(0) if site.plan else ""
        site.keys[key] += 1
        if fault.isdecimal():
            return self._answer(int(fault), {"error": {"code": "told", "message": ""}})
        if fault != "nothing written":
            row = {"id": f"id-{len(site.rows)}", "passenger": body["passenger"], "idempotency_key": key}
            site.rows.setdefault(key, row)
        if fault:
            self.close_connection = True
            return None
        return self._answer(201, {"booking": site.rows[key]})

    def do_GET(self) -> None:
        if self.path.startswith(("/api/places", "/api/journeys?")):
            return self._read()
        rows = [] if "after=" in self.path else list(self.server.rows.values())
        following = rows[-1]["id"] if rows else None
        if self.headers["Cookie"] == "s=1":
            return self._answer(200, {"bookings": rows, "next": following})
        return self._answer(401, {"error": {"code": "no_session", "message": ""}})

    def _read(self) -> None:
        site = self.server
        fault = site.plan.pop(0) if site.plan else ""
        site.asked.append(self.path)
        if fault.isdecimal():
            return self._answer(int(fault), {"error": {"code": "told", "message": ""}})
        if fault == "broken":
            self.close_connection = True
            return None
        return self._answer(200, {"empty": {"places": []}, "other": {}}.get(fault, LISTS))

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def application(tmp_path):
    """The server; `.site` is how a client reaches it, after a place where nobody listens."""
    authority, certificate = tmp_path / "ca.crt", tmp_path / "both.pem"
    issuer = pki.new_ca("Test CA", datetime.now(UTC))
    pair = pki.issue(issuer, ["shop.example.com"], datetime.now(UTC))
    authority.write_text(issuer.certificate)
    certificate.write_text(pair.certificate + pair.key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    server.plan, server.rows, server.keys, server.asked = [], {}, Counter(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    places = ["127.0.0.1:1", f"127.0.0.1:{server.server_port}"]
    server.site = Site.parse("https://shop.example.com", places, str(authority))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with LedgerFile(path) as file:
        file.durably("begun", run="r1", session="s=1")
        yield path, Writer("r1", file, ledger_wayfare.Journeys({"j": 1000}), HASTE)


def until(writer, acknowledged, ending):
    while writer.acknowledged < acknowledged and not ending.wait(0.01):
        pass
    ending.set()


def known(site):
    client = Client(site, HASTE.timeout)
    client.cookie = "s=1"
    return client


@pytest.mark.parametrize("fault", ["503", "500", "429", "after commit", "nothing written"])
def test_a_write_of_unknown_fate_is_sent_again_with_its_own_key(application, written, fault):
    path, writer = written
    application.plan = [fault, fault]
    assert writer.write(client := known(application.site)) == ACKNOWLEDGED
    assert application.keys == {"ledger:r1:0": 3}
    found = read(events(path))
    assert found.acknowledged[0].tries == 3
    assert prove(found, list(ledger_wayfare.rows(client))).present == (0,)


def test_a_refusal_is_final(application, written):
    path, writer = written
    application.plan = ["409"]
    assert writer.write(known(application.site)) == REFUSED
    assert application.keys == {"ledger:r1:0": 1}
    assert read(events(path)).refused == {"told": 1}


def test_a_write_is_given_up_when_patience_ends_and_may_be_there(application, written, monkeypatch):
    path, writer = written
    monkeypatch.setattr(writer, "_pace", replace(HASTE, patience=0.3))
    application.plan = ["after commit"] * 50
    assert writer.write(client := known(application.site)) == UNKNOWN
    found = read(events(path))
    proof = prove(found, list(ledger_wayfare.rows(client)))
    assert (found.given_up, proof.unacknowledged, proof.ok) == ((0,), (0,), True)


def test_several_threads_never_use_a_number_twice(application, written):
    path, writer = written
    ending = threading.Event()
    application.plan = ["503", "after commit"]
    threading.Thread(target=lambda: until(writer, 8, ending)).start()
    writer.work(lambda: known(application.site), ending)
    found = read(events(path))
    proof = prove(found, list(ledger_wayfare.rows(known(application.site))))
    assert len(found.acknowledged) == len(application.keys) == len(proof.present) >= 8


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("", ""),
        ("503", "told"),
        ("429", "told"),
        ("broken", "Remote end closed connection without response"),
        ("empty", "an empty list of places"),
        ("other", "no list of places"),
    ],
)
def test_a_read_is_tried_once_and_judged_by_what_it_says(application, tmp_path, fault, why):
    application.plan = [fault]
    path = tmp_path / "reads.jsonl"
    with LedgerFile(path) as file:
        file.note("begun", run="r1", session="s=1", reads=50)
        reader, client = Reader(file), known(application.site)
        assert reader.read(client) == why
        assert reader.read(client) == "", "the next one is another question"
    assert application.asked[0] == "/api/places" and application.asked[1].startswith("/api/journeys?date=")
    found = read(events(path)).reads
    assert (len(found.at), found.failed) == ((1, {why: 1}) if why else (2, {}))


def test_readers_work_as_long_as_writes_are_brought_to_their_end(application, tmp_path):
    path = tmp_path / "reads.jsonl"
    with LedgerFile(path) as file:
        file.note("begun", run="r1", session="s=1", reads=50)
        with Reader(file, 50).at_work(lambda: known(application.site)):
            limit = time.monotonic() + 60  # a fifth of a second where nothing else is at work
            while len(application.asked) < 8:
                assert time.monotonic() < limit, "the readers do not read"
                time.sleep(0.01)  # between two looks
        asked = len(application.asked)
    assert len(read(events(path)).reads.at) == asked >= 8
    searches = [path for path in application.asked if path != "/api/places"]
    assert len(set(searches)) == len(searches), "a search that was just asked is answered from the cache"


def test_where_no_edge_answers_the_reads_fail_and_go_on(application, tmp_path):
    nowhere = Site("shop.example.com", 443, (("127.0.0.1", 1),), application.site.context)
    with LedgerFile(tmp_path / "reads.jsonl") as file:
        assert Reader(file).read(known(nowhere)).startswith("no connection (127.0.0.1:1: ")


def test_a_lost_row_is_found(application, written):
    path, writer = written
    for _ in range(3):
        writer.write(client := known(application.site))
    del application.rows["ledger:r1:1"]
    assert prove(read(events(path)), list(ledger_wayfare.rows(client))).lost == (1,)


def test_a_session_that_is_not_known_any_more_is_no_loss(application):
    with pytest.raises(SlipwayError, match="does not know this session"):
        list(ledger_wayfare.rows(Client(application.site, HASTE.timeout)))


def test_where_nobody_listens_nothing_was_sent(application):
    nowhere = Site("shop.example.com", 443, (("127.0.0.1", 1),), application.site.context)
    with pytest.raises(NeverSentError):
        Client(nowhere, HASTE.timeout).ask("GET", "/")


def test_another_name_than_the_certificates_is_not_trusted(application):
    other = Site("other.example.com", 443, application.site.places, application.site.context)
    with pytest.raises(NeverSentError, match="certificate verify failed"):
        Client(other, HASTE.timeout).ask("GET", "/")


def test_seats_are_taken_in_turn_and_end():
    journeys = ledger_wayfare.Journeys({"a": 2, "b": 1})
    assert [journeys.next() for _ in range(3)] == ["a", "b", "a"]
    with pytest.raises(SlipwayError, match="every seat"):
        journeys.next()


@pytest.mark.parametrize(
    ("url", "connect"), [("http://x", []), ("https://x/api", []), ("https://x", ["1.2.3.4"])]
)
def test_a_site_is_written_in_full(url, connect):
    with pytest.raises(SlipwayError):
        Site.parse(url, connect, None)
