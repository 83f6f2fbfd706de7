"""Connections that never outlive their time limit, and one HTTP request over them."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

BODY_LIMIT = 256 * 1024
_MAKING = threading.Lock()


@dataclass(frozen=True)
class Trust:
    """PEM files: whom to believe (None: the system's authorities) and what to show of oneself.

    fingerprint: of the one certificate to be met, whoever has signed it, in place of any authority.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Place:
    """Where to connect, and, with `trust`, as whom the other side must prove itself over TLS.

    protocol: what is to be spoken over TLS, by its ALPN name.
    """

    host: str
    port: int
    trust: Trust | None = None
    server_name: str | None = None
    protocol: str | None = None


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def connection(place: Place, seconds: float) -> Iterator[socket.socket]:
    """A connected socket; whatever is done with it ends, as if the peer had gone, when the time is over.

    A socket's own timeout starts anew with every byte, so a peer that drips would never meet it.
    """
    raw = socket.create_connection((place.host, place.port), timeout=seconds)
    over = threading.Event()
    stream: socket.socket = raw
    if place.trust is not None:
        context = tls_context(place.trust, place.protocol)
        name = place.server_name or place.host
        stream = context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False)

    def cut() -> None:
        over.set()
        with suppress(OSError):
            # Not the method of an SSL socket: it would drop the TLS state under the reader's feet.
            socket.socket.shutdown(stream, socket.SHUT_RDWR)

    watchdog = threading.Timer(seconds, cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        if isinstance(stream, ssl.SSLSocket):
            stream.do_handshake()
            _recognise(stream, place.trust)
        yield stream
        if over.is_set():
            raise TimeoutError
    except (OSError, EOFError, http.client.HTTPException) as error:
        if over.is_set():
            raise TimeoutError(f"no complete answer within {seconds:g} s") from error
        raise
    finally:
        watchdog.cancel()
        stream.close()


def request(
    place: Place,
    path: str,
    host: str,
    seconds: float,
    more: Mapping[str, str] | None = None,
    *,
    most: int = BODY_LIMIT,
) -> Reply:
    """GET a path; `host` is the name asked for, whatever the address connected to.

    more: headers. most: bytes of the answer that are read.
    """
    with connection(place, seconds) as stream:
        client = http.client.HTTPConnection(place.host, place.port)
        client.sock = stream
        headers = {"Host": host, "User-Agent": "slipway-health", "Connection": "close", **(more or {})}
        client.request("GET", path, headers=headers)
        response = client.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, response.read(most), told)


def fingerprint(certificate: str) -> str:
    """Of the first certificate in a PEM text."""
    block = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", certificate, re.DOTALL)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(block[0])).hexdigest() if block else ""


def _recognise(stream: ssl.SSLSocket, trust: Trust | None) -> None:
    met = hashlib.sha256(stream.getpeercert(binary_form=True) or b"").hexdigest()
    if trust and trust.fingerprint and met != trust.fingerprint:
        raise ssl.SSLError("it shows another certificate than the one it should have")


def tls_context(trust: Trust, protocol: str | None = None) -> ssl.SSLContext:
    """The context for a trust, made once however many threads ask: that costs more than a handshake."""
    with _MAKING:
        return _tls_context(trust, protocol)


@lru_cache(maxsize=32)
def _tls_context(trust: Trust, protocol: str | None) -> ssl.SSLContext:
    for path in filter(None, (trust.ca, trust.certificate, trust.key)):
        # The ssl module does not say which file it could not read.
        Path(path).open("rb").close()
    context = ssl.create_default_context(cafile=trust.ca)
    # `ca` may be a certificate itself, to be met exactly; and many a company's CA is not strictly RFC 5280.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if trust.certificate:
        context.load_cert_chain(trust.certificate, trust.key)
    if trust.fingerprint:
        # Which certificate it is says more than who has signed it.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocol:
        context.set_alpn_protocols([protocol])
    return context
