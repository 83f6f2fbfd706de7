"""gRPC's health call in bytes: what we say, and what a real server was heard to answer."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.grpc_health import (
    Frame,
    GrpcError,
    check,
    opening,
    status,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# grpcio 1.85's answer to a call for a service that is SERVING: SETTINGS, its acknowledgement, window updates,
# PING, HEADERS, DATA, trailers.
RECORDED = bytes.fromhex(
    "000018040000000000000400400000000500400000000600004000fe030000000100000408000000000000"
    "3f00010000000401000000000000040800000000000000001700000806000000000052b237f4d01fc38c00"
    "004e01040000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f67727063401467"
    "7270632d6163636570742d656e636f64696e67176964656e746974792c206465666c6174652c20677a6970"
    "000007000000000001000000000208"
    "01"
    "00001e010500000001400b677270632d7374617475730130000c677270632d6d65737361676500"
)
PING = bytes.fromhex("52b237f4d01fc38c")
# A server that knows no such service answers with headers only; here Huffman-coded, as Go's does.
TRAILERS_ONLY = Frame(
    1, 0x5, 1, bytes.fromhex("885f8b1d75d0620d263d4c4d65647a9acac8b4c7602b89d5c140")
).encoded()


def call(answer, service="shop.Api"):
    """The outcome of a call against a peer that says `answer` and hangs up, and what it was sent."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        outcome = check(ours, "10.0.0.1:9090", service)
        ours.shutdown(socket.SHUT_WR)
        sent = b""
        while chunk := theirs.recv(65536):
            sent += chunk
    return outcome, sent


def data(body, flags=1):
    return Frame(0, flags, 1, body).encoded()


def test_a_real_servers_answer_is_understood():
    outcome, sent = call(RECORDED)
    assert outcome == "SERVING"
    assert sent.startswith(opening("10.0.0.1:9090", "shop.Api"))
    assert Frame(4, 1, 0, b"").encoded() in sent
    assert Frame(6, 1, 0, PING).encoded() in sent


def test_the_call_is_one_request_with_its_message():
    said = opening("host:1", "shop.Api")
    assert said.startswith(PREFACE + bytes.fromhex("000000040000000000"))
    assert b"\x83\x86" in said and b"\x05:path\x1c/grpc.health.v1.Health/Check" in said
    assert said.endswith(
        b"\x00\x00\x0f\x00\x01\x00\x00\x00\x01" + b"\x00\x00\x00\x00\x0a" + b"\x0a\x08shop.Api"
    )
    assert opening("host:1", "").endswith(b"\x00\x00\x05\x00\x01\x00\x00\x00\x01" + bytes(5))


def test_long_names_have_long_lengths():
    said = opening("h" * 300, "s" * 300)
    assert b"\x0a\xac\x02" + b"s" * 300 in said
    assert b"\x7f\xad\x01" + b"h" * 300 in said


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\x00\x00\x00\x00\x02\x08\x01", "SERVING"),
        (b"\x00\x00\x00\x00\x02\x08\x02", "NOT_SERVING"),
        (b"\x00\x00\x00\x00\x02\x08\x03", "SERVICE_UNKNOWN"),
        (b"\x00\x00\x00\x00\x02\x08\x09", "UNKNOWN"),
        (b"\x00\x00\x00\x00\x00", "UNKNOWN"),
    ],
)
def test_the_message_is_the_status(body, expected):
    assert status(body) == expected


def test_a_message_in_pieces_and_padded_is_put_together():
    padded = Frame(0, 0x9, 1, b"\x03" + b"\x02\x08\x01" + bytes(3)).encoded()
    assert call(
        data(b"\x00\x00\x00\x00", 0) + data(b"for another", 0).replace(b"\0\0\0\x01", b"\0\0\0\x03") + padded
    )[0] == ("SERVING")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (TRAILERS_ONLY, "knows no such service"),
        (b"", "ended before an answer"),
        (RECORDED[:40], "ended before an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"),
        (Frame(3, 0, 1, bytes(4)).encoded(), "refused the call"),
        (Frame(7, 0, 0, bytes(8)).encoded(), "closed the connection"),
        (data(b"\x01\x00\x00\x00\x02\x08\x01"), "compressed"),
    ],
    ids=["trailers-only", "silence", "cut", "http1", "reset", "goaway", "compressed"],
)
def test_what_is_no_status_is_an_error(answer, told):
    with pytest.raises(GrpcError, match=told):
        call(answer)
