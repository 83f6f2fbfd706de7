"""One call of grpc.health.v1.Health/Check over HTTP/2, with nothing but a socket.

Request headers are literals without Huffman coding. Of response headers only the HTTP status is read, in the
forms servers write it: the answer stands in a DATA frame, and a stream that ends without one is an error.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_STREAM = 1
_LARGEST = 1 << 20
# Entries of HPACK's static table: `:method: POST`, `:scheme: http` and `:scheme: https`, and whole statuses.
_POST, _HTTP, _HTTPS = b"\x83", b"\x86", b"\x87"
_STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
# `:status` by its name's entry, its value of three bytes as plain text follows.
_STATUS_AS_TEXT = (b"\x08\x03", b"\x18\x03", b"\x48\x03")


class GrpcError(OSError):
    """The peer spoke, but gave no health status."""


@dataclass(frozen=True)
class Call:
    """How the question gets to the server: as it is asked directly, unless an edge stands between."""

    path: str = "/grpc.health.v1.Health/Check"
    secure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


DIRECT = Call()


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    def encoded(self) -> bytes:
        return (
            struct.pack(">I", len(self.payload))[1:]
            + struct.pack(">BBI", self.kind, self.flags, self.stream)
            + self.payload
        )


def check(stream: socket.socket, authority: str, service: str, call: Call = DIRECT) -> str:
    """The health status that a server reports of a service ("" means the server as a whole)."""
    stream.sendall(opening(authority, service, call))
    body, ended = b"", False
    while not ended:
        frame = _read(stream)
        answer = _courtesy(frame)
        if answer is not None:
            stream.sendall(answer.encoded())
        if frame.kind == _GOAWAY:
            raise GrpcError("the server closed the connection")
        if frame.stream == _STREAM:
            if frame.kind == _RST_STREAM:
                raise GrpcError("the server refused the call")
            if frame.kind == _HEADERS and http_status(_unpadded(frame)) not in (None, 200):
                raise GrpcError(f"HTTP status {http_status(_unpadded(frame))}")
            if frame.kind == _DATA:
                body += _unpadded(frame)
            ended = frame.kind in (_DATA, _HEADERS) and bool(frame.flags & _END_STREAM)
    return status(body)


def opening(authority: str, service: str, call: Call = DIRECT) -> bytes:
    """Everything the client has to say, in one write."""
    name = service.encode()
    message = b"\x0a" + _integer(len(name)) + name if name else b""
    data = b"\x00" + struct.pack(">I", len(message)) + message
    scheme = _HTTPS if call.secure else _HTTP
    headers = b"".join(
        b"\x00" + _text(key) + _text(value)
        for key, value in (
            (":path", call.path),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *((name.lower(), value) for name, value in call.headers.items()),
        )
    )
    return (
        _PREFACE
        + Frame(_SETTINGS, 0, 0, b"").encoded()
        + Frame(_HEADERS, _END_HEADERS, _STREAM, _POST + scheme + headers).encoded()
        + Frame(_DATA, _END_STREAM, _STREAM, data).encoded()
    )


def status(body: bytes) -> str:
    """The status in a response body: one length-prefixed HealthCheckResponse."""
    if len(body) < 5:
        raise GrpcError("the server knows no such service, or does not report health")
    if body[0]:
        raise GrpcError("the server compressed its answer, unasked")
    message = body[5 : 5 + struct.unpack(">I", body[1:5])[0]]
    # Field 1 as a varint; proto3 leaves out a zero.
    return STATES.get(message[1], "UNKNOWN") if message[:1] == b"\x08" and len(message) > 1 else STATES[0]


def http_status(block: bytes) -> int | None:
    """The HTTP status at the beginning of a header block; None where it is written in another way."""
    while block and block[0] & 0xE0 == 0x20:  # the size of a table that we do not keep
        block = block[1:]
    if block[:2] in _STATUS_AS_TEXT and block[2:5].isdigit():
        return int(block[2:5])
    return _STATUSES.get(block[0]) if block else None


def _courtesy(frame: Frame) -> Frame | None:
    """What HTTP/2 obliges a client to answer."""
    if frame.kind == _SETTINGS and not frame.flags & _ACK:
        return Frame(_SETTINGS, _ACK, 0, b"")
    if frame.kind == _PING and not frame.flags & _ACK:
        return Frame(_PING, _ACK, 0, frame.payload)
    return None


def _unpadded(frame: Frame) -> bytes:
    if frame.flags & _PADDED and frame.payload:
        return frame.payload[1 : len(frame.payload) - frame.payload[0]]
    return frame.payload


def _read(stream: socket.socket) -> Frame:
    header = _exactly(stream, 9)
    length = int.from_bytes(header[:3], "big")
    if header.startswith(b"HTTP/") or length > _LARGEST:
        raise GrpcError("the server does not speak HTTP/2")
    kind, flags, number = struct.unpack(">BBI", header[3:])
    return Frame(kind, flags, number & 0x7FFFFFFF, _exactly(stream, length))


def _exactly(stream: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = stream.recv(count - len(received))
        if not chunk:
            raise GrpcError("the connection ended before an answer")
        received += chunk
    return received


def _text(value: str) -> bytes:
    raw = value.encode()
    # HPACK's length has a 7 bit prefix, the eighth says Huffman.
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    return b"\x7f" + _integer(len(raw) - 127) + raw


def _integer(value: int) -> bytes:
    """Little groups of seven bits, the highest bit set on all but the last."""
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])
