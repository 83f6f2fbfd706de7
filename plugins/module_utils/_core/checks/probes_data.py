"""Probes that ask a database for its role: PostgreSQL through Patroni, Redis and Sentinel over RESP."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..transport import Place, connection
from . import verdicts
from .health import Finding, Probe
from .probes_network import get, trust

_LARGEST = 1 << 20


def postgres(probe: Probe) -> Finding:
    """`url` is Patroni's API on the member that is judged."""
    name, cluster = patroni_view(probe)
    return verdicts.patroni(name, cluster, probe.expect)


def patroni_view(probe: Probe) -> tuple[str, dict[str, Any]]:
    """The name of the member at `url`, and the cluster as it sees it."""
    base = str(probe.target["url"]).rstrip("/")
    cluster = verdicts.parsed(get(probe, f"{base}/cluster").body)
    for member in cluster.get("members", ()):
        if member.get("api_url") == f"{base}/patroni":
            return str(member["name"]), cluster
    # Asked at another address than it announces: it has to be asked who it is.
    own = verdicts.parsed(get(probe, f"{base}/patroni").body)
    return str(own.get("patroni", {}).get("name")), cluster


def redis(probe: Probe) -> Finding:
    target = probe.target
    secure = trust(probe) if target.get("ca") else None
    with connection(Place(str(target["host"]), int(target["port"]), secure), probe.timeout) as stream:
        conversation = _Resp(stream)
        if target.get("password_file"):
            password = Path(target["password_file"]).read_text(encoding="utf-8").strip()
            conversation.log_in(password)
        return verdicts.redis(conversation.call("ROLE"), probe.expect)


class _Resp:
    """A conversation in Redis's protocol, version 2."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._reader = stream.makefile("rb")

    def log_in(self, password: str) -> None:
        try:
            self.call("AUTH", password)
        except SlipwayError as error:
            # Sentinel may have no password of its own.
            if "without any password configured" not in error.problem:
                raise

    def call(self, *words: str) -> Any:
        raw = [word.encode() for word in words]
        self._stream.sendall(
            b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)
        )
        return self._read()

    def _read(self) -> Any:
        line = self._reader.readline(_LARGEST)
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection ended before an answer")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise SlipwayError(
                f"it answers: {rest.decode(errors='replace')}",
                "Check that the password file belongs to this deployment, or read its log",
            )
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._text(int(rest))
        if kind == b"*":
            return [self._read() for _ in range(min(int(rest), _LARGEST))]
        if kind == b"+":
            return rest.decode()
        raise ValueError("the answer is not Redis's protocol")

    def _text(self, length: int) -> str | None:
        if length < 0:
            return None
        return self._reader.read(min(length, _LARGEST) + 2)[:-2].decode(errors="replace")
