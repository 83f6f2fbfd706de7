"""Asks an application over HTTPS as its clients do: by name, verified, at any of the edge's addresses."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import SlipwayError


@dataclass(frozen=True)
class Site:
    """`places`: (address, port) of the edge's hosts, tried in turn, like a name with several addresses."""

    domain: str
    port: int
    places: tuple[tuple[str, int], ...]
    context: ssl.SSLContext

    @classmethod
    def parse(cls, url: str, connect: Sequence[str], ca: str | None) -> Site:
        """connect: `address:port` each; none: wherever the URL's name leads."""
        told = urlsplit(url)
        if told.scheme != "https" or not told.hostname or told.path not in ("", "/"):
            raise SlipwayError(f"{url!r} is no site", "Write https://<domain>[:<port>]")
        port = told.port or 443
        places = []
        for place in connect:
            address, _, number = place.rpartition(":")
            if not address or not number.isdecimal():
                raise SlipwayError(f"{place!r} is no place to connect to", "Write <address>:<port>")
            places.append((address, int(number)))
        try:
            # The system's authorities as well: an edge may have a certificate of its own.
            context = ssl.create_default_context()
            if ca:
                context.load_verify_locations(cafile=ca)
        except OSError as problem:
            raise SlipwayError(f"{ca} is no certificate authority", "Name its PEM file") from problem
        return cls(told.hostname, port, tuple(places) or ((told.hostname, port),), context)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The application's own word for a failure, where it says one."""
        try:
            return str(self.json()["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return f"status {self.status}"


class NeverSentError(Exception):
    """No edge could be connected to: nothing was sent."""


class Client:
    """One connection at a time, kept while it lasts; not for several threads at once."""

    def __init__(self, site: Site, timeout: float) -> None:
        """timeout: seconds for each step of a request, connecting included."""
        self._site = site
        self._timeout = timeout
        self._turns = itertools.cycle(site.places)
        self._open: http.client.HTTPConnection | None = None
        self.cookie = ""

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send once. Raises NeverSentError; OSError and HTTPException when the request's fate is unknown."""
        connection = self._open or self._connect()
        self._open = None
        own = {"Host": self._host(), "Accept": "application/json", **dict(headers or {})}
        own |= {"Cookie": self.cookie} if self.cookie else {}
        data = None if body is None else json.dumps(body).encode()
        own |= {"Content-Type": "application/json"} if data else {}
        try:
            connection.request(method, path, data, own)
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._open = connection
        return answer

    def close(self) -> None:
        if self._open:
            self._open.close()
            self._open = None

    def _connect(self) -> http.client.HTTPConnection:
        told = []
        for place in itertools.islice(self._turns, len(self._site.places)):
            try:
                plain = socket.create_connection(place, self._timeout)
            except OSError as problem:
                told.append(f"{place[0]}:{place[1]}: {problem or type(problem).__name__}")
                continue
            try:
                channel = self._site.context.wrap_socket(plain, server_hostname=self._site.domain)
            except OSError as problem:
                plain.close()
                told.append(f"{place[0]}:{place[1]}: {problem or type(problem).__name__}")
                continue
            connection = http.client.HTTPSConnection(self._site.domain, timeout=self._timeout)
            connection.sock = channel
            return connection
        raise NeverSentError("; ".join(told))

    def _host(self) -> str:
        return self._site.domain if self._site.port == 443 else f"{self._site.domain}:{self._site.port}"
