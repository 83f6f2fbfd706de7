"""TLS, headers and refusals of the edge, as a real client meets them."""

from __future__ import annotations

import gzip
import http.client
import ssl
import time
import warnings

import pytest
from edge import Answer, Edge

NOWHERE = "/no-such-page-of-the-system-test"
EVERYWHERE = {
    "Strict-Transport-Security": "max-age=",
    "Content-Security-Policy": "default-src",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin",
}


def shake_hands(edge: Edge, version: ssl.TLSVersion) -> str | None:
    context = edge.context()
    # The client must be willing, or its own refusal would pass for the edge's.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with context.wrap_socket(edge.socket(), server_hostname=edge.domain) as secured:
        return secured.version()


def preflight(edge: Edge, origin: str) -> Answer:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "idempotency-key"
    return edge.request("OPTIONS", "/api/bookings", asked)


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name
)
def test_modern_tls_is_spoken_with_a_certificate_of_the_environments_ca(
    edge: Edge, version: ssl.TLSVersion
) -> None:
    assert shake_hands(edge, version) == version.name.replace("_", ".")


def test_a_client_that_does_not_know_the_ca_refuses_the_certificate(edge: Edge) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLCertVerificationError), edge.socket() as plain:
        stranger.wrap_socket(plain, server_hostname=edge.domain)


def test_tls_1_1_is_refused_by_the_edge(edge: Edge) -> None:
    with pytest.raises(ssl.SSLError) as refusal:
        shake_hands(edge, ssl.TLSVersion.TLSv1_1)
    assert refusal.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_plain_http_is_redirected_to_https_and_says_nothing_of_hsts(edge: Edge) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", edge.http_port, timeout=15)
    answer = edge.request("GET", "/api/places?a=b", {"Host": edge.domain}, connection=plain)
    plain.close()
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{edge.authority}/api/places?a=b"
    assert answer.headers["Strict-Transport-Security"] is None


@pytest.mark.parametrize(("path", "status"), [("/", 200), (NOWHERE, 404)])
def test_every_answer_has_the_security_headers_once(edge: Edge, path: str, status: int) -> None:
    answer = edge.get(path)
    assert answer.status == status
    for name, beginning in EVERYWHERE.items():
        values = answer.headers.get_all(name, [])
        assert values and values[0].startswith(beginning), f"{name}: {values}"
    for name in EVERYWHERE.keys() - {"Content-Security-Policy"}:
        assert len(answer.headers.get_all(name, [])) == 1, name


@pytest.mark.parametrize("path", ["/", "/api/places", NOWHERE])
def test_nothing_tells_which_server_or_replica_answered(edge: Edge, path: str) -> None:
    answer = edge.get(path)
    assert answer.headers.get("Server", "nginx") == "nginx"
    assert [name for name in answer.headers if name.lower().startswith(("x-slipway", "x-powered"))] == []


def test_a_preflight_of_the_allowed_origin_is_answered(edge: Edge) -> None:
    origin = f"https://{edge.domain}"
    answer = preflight(edge, origin)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "idempotency-key"


def test_a_preflight_of_another_origin_is_granted_nothing(edge: Edge) -> None:
    answer = preflight(edge, "https://evil.example")
    assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


def test_text_is_compressed_for_clients_that_ask_for_it(edge: Edge) -> None:
    plain, packed = edge.get("/"), edge.get("/", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in plain.headers


def test_a_name_that_is_not_ours_is_refused(edge: Edge) -> None:
    assert edge.get("/", Host="stranger.example").status == 421


def test_a_request_that_is_too_large_is_refused_before_it_is_sent(edge: Edge) -> None:
    """Only its length is told: an edge that waited for 1 GB would time out here."""
    with edge.context().wrap_socket(edge.socket(), server_hostname=edge.domain) as secured:
        lines = ["POST /api/echo HTTP/1.1", f"Host: {edge.authority}", "Content-Length: 1000000000", "", ""]
        secured.sendall("\r\n".join(lines).encode())
        assert secured.recv(12).startswith(b"HTTP/1.1 413")


def test_an_upload_that_is_refused_leaves_its_connection_to_the_next_request(edge: Edge) -> None:
    """`web` answers a POST as soon as it has read its headers."""
    connection, body = edge.connection(), b"x" * 4096
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    # Time enough for an answer that does not wait for the body.
    time.sleep(0.3)
    connection.send(body)
    refused = connection.getresponse()
    refused.read()
    assert refused.status == 405
    assert edge.request("GET", "/", connection=connection).status == 200


def test_a_client_may_name_its_request_and_reads_the_name_in_the_answer(edge: Edge) -> None:
    answer = edge.get("/api/places", X_Request_ID="system-test-0001")
    assert answer.headers.get_all("X-Request-ID") == ["system-test-0001"]
