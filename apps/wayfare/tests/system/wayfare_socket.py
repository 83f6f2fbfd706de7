"""A WebSocket client of a few lines: what the tests need, and nothing that is not in the standard library."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
from typing import Any

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class ClosedError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    def __init__(self, address: tuple[str, int], path: str = "/ws/", timeout: float = 15) -> None:
        self._socket = socket.create_connection(address, timeout)
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {address[0]}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        status = self._stream.readline()
        assert b" 101 " in status, status
        headers = dict(
            line.decode().strip().lower().split(": ", 1) for line in iter(self._stream.readline, b"\r\n")
        )
        accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
        assert headers["sec-websocket-accept"] == accept.lower()

    def receive(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; pings are answered, other kinds passed over."""
        while True:
            opcode, payload = self._frame()
            if opcode == CLOSE:
                self._send(CLOSE, payload)
                raise ClosedError(struct.unpack("!H", payload[:2])[0])
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == TEXT and (message := json.loads(payload))["type"] == kind:
                return message

    def close(self) -> None:
        self._socket.close()

    def _frame(self) -> tuple[int, bytes]:
        first, length = self._stream.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._stream.read(8))
        return first & 15, self._stream.read(length)

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
