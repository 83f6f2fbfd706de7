"""Probes against servers on this machine that behave well and badly, over TCP, TLS, HTTP and RESP."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from functools import partial

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health import Probe
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.probes import measure
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql import member
from certificates import issue

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pem")
    ca = issue(folder, "ca", 90)
    issue(folder, "shop.test", 60, ca)
    issue(folder, "soon.test", 5, ca)
    issue(folder, "late.test", -1, ca)
    issue(folder, "self.test", 60)
    return folder


@pytest.fixture
def serve(pem):
    """A server on a free port that treats every connection with `talk`; with `certificate`, over TLS."""
    listeners = []

    def serve(talk, certificate=None, client_ca=None):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem / f"{certificate}.crt", pem / f"{certificate}.key")
            if client_ca:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(pem / "ca.crt")

        def one(stream):
            try:
                with context.wrap_socket(stream, server_side=True) if context else stream as secured:
                    talk(secured)
            except OSError:
                # The probe went away, as it may.
                stream.close()

        def accept():
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(stream,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    yield serve
    for listener in listeners:
        listener.close()


def answers(reply):
    def talk(stream):
        stream.recv(65536)
        stream.sendall(reply)

    return talk


def ask(kind, target, expect=None, timeout=30, **more):
    probe = Probe("p", "c", kind, target, expect or {}, timeout=timeout, **more)
    (check,) = measure([probe], lambda *_: (1, "", ""))
    return check


def https(pem, port, name="shop.test", **more):
    return {"url": f"https://{name}:{port}/", "address": "127.0.0.1", "ca": str(pem / "ca.crt"), **more}


def tls(pem, port, name, ca="ca"):
    return {"host": "127.0.0.1", "port": port, "server_name": name, "ca": str(pem / f"{ca}.crt")}


def test_http_asks_for_the_urls_name_at_the_given_address(serve):
    heard = []

    def talk(stream):
        heard.append(stream.recv(65536).decode())
        stream.sendall(OK)

    port = serve(talk)
    found = ask(
        "http", {"url": f"http://shop.test:{port}/ready?x=1", "address": "127.0.0.1"}, {"contains": "hello"}
    )
    assert (found.status, found.detail) == ("ok", "status 200")
    assert heard[0].startswith("GET /ready?x=1 HTTP/1.1\r\n") and f"Host: shop.test:{port}\r\n" in heard[0]


def test_https_verifies_the_name_it_asks_for(serve, pem):
    port = serve(answers(OK), "shop.test")
    assert ask("https", https(pem, port)).status == "ok"
    other = ask("https", https(pem, port, "other.test"))
    assert other.detail == "certificate refused: Hostname mismatch, certificate is not valid for 'other.test'"


def test_a_client_certificate_is_shown_where_one_is_wanted(serve, pem):
    port = serve(answers(OK), "shop.test", client_ca="ca")
    assert ask("https", https(pem, port)).status == "fail"
    own = {"certificate": str(pem / "shop.test.crt"), "key": str(pem / "shop.test.key")}
    assert ask("https", https(pem, port, **own)).status == "ok"


@pytest.mark.parametrize(
    ("name", "ca", "expected"),
    [
        ("shop.test", "ca", ("ok", "certificate valid for 59 days")),
        ("soon.test", "ca", ("warn", "certificate ends in 4 days")),
        ("late.test", "ca", ("fail", "certificate refused: certificate has expired")),
        ("self.test", "ca", ("fail", "certificate refused: self-signed certificate")),
        ("self.test", "self.test", ("ok", "certificate valid for 59 days")),
        ("shop.test", "shop.test", ("ok", "certificate valid for 59 days")),
        ("shop.test", "soon.test", ("fail", "certificate refused: unable to get local issuer certificate")),
    ],
    ids=["well", "soon", "late", "unknown", "pinned-self", "pinned-leaf", "pinned-other"],
)
def test_a_certificate_is_judged(serve, pem, name, ca, expected):
    found = ask("tls", tls(pem, serve(lambda stream: None, name), name, ca))
    assert (found.status, found.detail) == expected


@pytest.mark.parametrize("kind", ["http", "grpc", "redis"])
def test_a_server_that_drips_does_not_outlast_the_timeout(serve, kind):
    heard_out = threading.Event()

    def drips(stream):
        stream.recv(65536)
        for _ in range(1200):
            # To each of them this may yet become an answer; to gRPC it is one empty frame after another.
            stream.sendall(b"\0")
            time.sleep(0.05)  # for a minute in all, if nobody hangs up
        heard_out.set()

    port = serve(drips)
    place = {"url": f"http://127.0.0.1:{port}/"} if kind == "http" else {"host": "127.0.0.1", "port": port}
    assert ask(kind, place, timeout=0.5).status == "fail"
    assert not heard_out.is_set()


@pytest.mark.parametrize("kind", ["http", "https", "tls", "grpc", "redis"])
def test_another_protocol_is_a_finding_not_a_crash(serve, pem, kind):
    port = serve(answers(b"+what?\r\n"))
    place = (
        {"url": f"{kind}://127.0.0.1:{port}/"}
        if kind.startswith("http")
        else {"host": "127.0.0.1", "port": port}
    )
    found = ask(kind, place)
    assert found.status == "fail" and found.remedy


def test_a_silent_and_an_absent_server_are_told_apart(serve):
    over = threading.Event()
    silent = serve(lambda stream: over.wait(60))
    assert ask("http", {"url": f"http://127.0.0.1:{silent}/"}, timeout=0.3).detail.endswith("within 0.3 s")
    asked = ask("redis", {"host": "127.0.0.1", "port": silent}, {"role": "master"}, timeout=0.3)
    assert asked.detail.endswith("within 0.3 s")
    over.set()
    assert ask("tcp", {"host": "127.0.0.1", "port": 1}).detail == "connection refused"
    assert ask("tcp", {"host": "127.0.0.1", "port": silent}).status == "ok"


def test_redis_logs_in_and_tells_its_role(serve, pem, tmp_path):
    heard = []

    def talk(stream):
        for reply in (
            b"+OK\r\n",
            b"*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:42\r\n",
        ):
            heard.append(stream.recv(65536))
            stream.sendall(reply)

    (tmp_path / "password").write_text("s3cret\n")
    port = serve(talk, "shop.test")
    place = {
        "host": "127.0.0.1",
        "port": port,
        "ca": str(pem / "ca.crt"),
        "password_file": str(tmp_path / "password"),
    }
    assert ask("redis", place).detail == "replica of 10.0.0.1:6379, link connected"
    assert heard == [b"*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n", b"*1\r\n$4\r\nROLE\r\n"]


def test_patroni_is_asked_for_its_cluster(serve, pem, monkeypatch):
    monkeypatch.setattr(member, "Probe", partial(Probe, timeout=30))
    ports = []

    def talk(stream):
        path = stream.recv(65536).split()[1]
        assert path == b"/cluster"
        own = {"name": "b", "role": "replica", "state": "streaming", "lag": 0}
        own["api_url"] = f"https://127.0.0.1:{ports[0]}/patroni"
        leader = {"name": "a", "role": "leader", "state": "running"}
        body = json.dumps({"members": [leader, own]}).encode()
        stream.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    ports.append(serve(talk, "shop.test"))
    place = {"url": f"https://127.0.0.1:{ports[0]}", "ca": str(pem / "ca.crt")}
    assert ask("postgres", place).detail == "replica of a, streaming, 0 B behind"
    assert member.another_leads(place)
    assert not member.another_leads({"url": "https://127.0.0.1:1"})


def test_many_probes_are_asked_side_by_side(serve):
    together = threading.Barrier(30, timeout=60)

    def when_all_have_asked(stream):
        stream.recv(65536)
        together.wait()
        stream.sendall(OK)

    url = f"http://127.0.0.1:{serve(when_all_have_asked)}/"
    probes = [Probe(str(number), "c", "http", {"url": url}, timeout=90) for number in range(30)]
    assert {check.status for check in measure(probes, lambda *_: (1, "", ""))} == {"ok"}
