"""Clients that hold on: slow downloads and uploads, WebSocket sessions, gRPC calls and streams on a channel.

Each is one attempt: it returns what went wrong, in words, or nothing. A session that a replica ends as it
should (a close frame of 1001, a status that asks to come back) is no failure; whoever counts is told.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import http.client
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import grpc
from edge import TIMEOUT, Answer, Edge
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from lab import CHECKOUT

PROTO = CHECKOUT / "apps/wayfare/proto/wayfare/rpc"
SIZE = 3_000_000
# Below the usual limit of p99 (5 s): so few requests beside them that they are the hundredth.
DOWNLOAD_SECONDS = 4
UPLOAD_SECONDS = 4.0
BLOCK = 65_536
LOOK = 0.5
CALLS_A_SECOND = 5.0
GOING_AWAY = 1001
# Where there is no answer at all: refused, reset, timed out, or cut short.
NO_ANSWER = (OSError, http.client.HTTPException)

Note = Callable[[str], None]


def judge(answer: Answer) -> str:
    if answer.status == 200:
        return ""
    return f"{answer.status} {answer.body[:120]!r} request {answer.headers['X-Request-ID']}"


def day() -> str:
    return (datetime.now(UTC) + timedelta(days=2)).date().isoformat()


def download(edge: Edge, connection: http.client.HTTPConnection, ended: Event, note: Note) -> str:
    """Some MB over many seconds; their number and checksum must be what the headers promised."""
    del edge
    response = _get(connection, f"/api/download?bytes={SIZE}&seconds={DOWNLOAD_SECONDS}", note)
    digest, size = hashlib.sha256(), 0
    try:
        while block := response.read1(BLOCK):
            digest.update(block)
            size += len(block)
            if ended.is_set():
                connection.close()
                note("left")
                return ""
    except NO_ANSWER as problem:
        note("truncated")
        return f"cut after {size} of {SIZE} bytes: {problem!r}"
    # `read1` leaves a response that was read to its end open, and then its connection can ask nothing more.
    response.close()
    if response.status != 200:
        return f"{response.status} request {response.headers['X-Request-ID']}"
    if size != SIZE:
        note("truncated")
        return f"{size} of {SIZE} bytes, request {response.headers['X-Request-ID']}"
    return "" if digest.hexdigest() == response.headers["X-Content-SHA256"] else "not what was promised"


def _get(connection: http.client.HTTPConnection, path: str, note: Note) -> http.client.HTTPResponse:
    """As every client does, once more where a kept connection has ended without any answer (RFC 9112, 9.3.1).

    An answer that began before the edge wanted to reload did not say that it would be its connection's last.
    """
    kept = connection.sock is not None
    try:
        connection.request("GET", path)
        return connection.getresponse()
    except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        if not kept:
            raise
    note("asked again")
    connection.close()
    connection.request("GET", path)
    return connection.getresponse()


def upload(edge: Edge, connection: http.client.HTTPConnection, ended: Event, note: Note) -> str:
    """Some MB, sent slowly; the service must have seen the same bytes."""
    del note
    body = secrets.token_bytes(SIZE)
    blocks = [body[at : at + BLOCK] for at in range(0, SIZE, BLOCK)]

    def slowly() -> Iterator[bytes]:
        for block in blocks:
            yield block
            # Once the load has ended the rest goes at once: a request that was begun is finished and judged.
            ended.wait(UPLOAD_SECONDS / len(blocks))

    headers = {"Content-Length": str(SIZE), "Content-Type": "application/octet-stream"}
    answer = edge.request("POST", "/api/echo", headers, slowly(), connection)
    correct = hashlib.sha256(body).hexdigest() in answer.body.decode(errors="replace")
    return judge(answer) or ("" if correct else "not what was sent")


def websocket(edge: Edge, ended: Event, note: Note) -> str:
    """One session, until the load ends or the other side does.

    Not with the library's threads: they read and write one TLS connection at a time, which OpenSSL forbids
    (openssl/openssl#20446); two of some eighty sessions lost their first words to the server's tickets.
    """
    try:
        return asyncio.run(_session(edge, ended, note))
    except ConnectionClosed as closed:
        if closed.rcvd and closed.rcvd.code == GOING_AWAY:
            note("sent away")
            return ""
        return f"cut without a close frame: {closed!r}"
    except (OSError, InvalidHandshake, TimeoutError) as problem:
        return f"cannot be opened: {problem!r}"


async def _session(edge: Edge, ended: Event, note: Note) -> str:
    url = f"wss://{edge.authority}/ws/"
    where = {"host": "127.0.0.1", "port": edge.https_port, "server_hostname": edge.domain}
    async with connect(url, ssl=edge.context(), open_timeout=TIMEOUT, **where) as session:
        hello = json.loads(await asyncio.wait_for(session.recv(), TIMEOUT))
        if hello["type"] != "hello":
            return f"no greeting: {hello}"
        note("opened")
        while not ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(session.recv(), LOOK)
        note("left")
    return ""


class Channel:
    """One gRPC channel through the edge, kept for as long as the load lasts."""

    def __init__(self, edge: Edge) -> None:
        names = [
            ("grpc.ssl_target_name_override", edge.domain),
            ("grpc.default_authority", edge.authority),
            ("grpc.enable_http_proxy", 0),
        ]
        trusted = grpc.ssl_channel_credentials(edge.ca_file.read_bytes())
        self._channel = grpc.secure_channel(f"127.0.0.1:{edge.https_port}", trusted, names)
        self._messages, services = _journeys()
        self._stub = services.JourneysStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def call(self) -> str:
        wanted = self._messages.SearchRequest(origin="Berlin", destination="Vienna", day=day())
        try:
            reply = self._stub.Search(wanted, timeout=TIMEOUT)
        except grpc.RpcError as error:
            return _words(error)
        return "" if reply.journeys else "no journeys"

    def watch(self, ended: Event, note: Note) -> str:
        """One stream, until the load ends or a replica asks to watch again."""
        wanted = self._messages.SearchRequest(origin="Paris", destination="Milan", day=day())
        try:
            journeys = [one.id for one in self._stub.Search(wanted, timeout=TIMEOUT).journeys[:3]]
            stream = self._stub.Watch(self._messages.WatchRequest(journey_ids=journeys))
            present = {next(stream).journey_id for _ in journeys}
            if present != set(journeys):
                return f"not the journeys that were asked for: {present}"
            note("opened")
            while not ended.wait(LOOK) and not stream.done():
                pass
            if not stream.done():
                stream.cancel()
                note("left")
                return ""
            if stream.code() is grpc.StatusCode.UNAVAILABLE and "Watch again" in stream.details():
                note("sent away")
                return ""
            return f"{stream.code()} {stream.details()}"
        except grpc.RpcError as error:
            return _words(error)


def pace(begun: float, rate: float) -> float:
    """Seconds until the next attempt of so many a second."""
    return max(0.0, 1 / rate - (time.monotonic() - begun))


def _words(error: Any) -> str:
    return f"{error.code()} {error.details()}"


@functools.cache
def _journeys() -> tuple[Any, Any]:
    sys.path.append(str(PROTO))
    found: tuple[Any, Any] = grpc.protos_and_services("journeys.proto")
    return found
