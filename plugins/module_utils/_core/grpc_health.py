"""One call of grpc.health.v1.Health/Check over clear-text HTTP/2, with nothing but a socket.

Request headers are literals without Huffman coding. Response headers are not decoded: the answer stands in a
DATA frame, and a stream that ends without one is an error whatever its headers say.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_STREAM = 1
_LARGEST = 1 << 20
# Entries of HPACK's static table: `:method: POST` and `:scheme: http`.
_POST_OVER_HTTP = b"\x83\x86"


class GrpcError(OSError):
    """The peer spoke, but gave no health status."""


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


def check(stream: socket.socket, authority: str, service: str) -> str:
    """The health status that a server reports of a service ("" means the server as a whole)."""
    stream.sendall(opening(authority, service))
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
            if frame.kind == _DATA:
                body += _unpadded(frame)
            ended = frame.kind in (_DATA, _HEADERS) and bool(frame.flags & _END_STREAM)
    return status(body)


def opening(authority: str, service: str) -> bytes:
    """Everything the client has to say, in one write."""
    name = service.encode()
    message = b"\x0a" + _integer(len(name)) + name if name else b""
    data = b"\x00" + struct.pack(">I", len(message)) + message
    headers = _POST_OVER_HTTP + b"".join(
        b"\x00" + _text(key) + _text(value)
        for key, value in (
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        )
    )
    return (
        _PREFACE
        + Frame(_SETTINGS, 0, 0, b"").encoded()
        + Frame(_HEADERS, _END_HEADERS, _STREAM, headers).encoded()
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
