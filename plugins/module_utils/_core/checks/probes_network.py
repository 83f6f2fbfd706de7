"""Probes that need only a connection: HTTP, TCP, TLS, gRPC."""

from __future__ import annotations

import ssl
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

from ..transport import Place, Reply, Trust, connection, request
from . import grpc_health, verdicts
from .health import FAIL, OK, Finding, Probe


def http(probe: Probe) -> Finding:
    reply = get(probe, str(probe.target["url"]))
    return verdicts.http(reply.status, reply.body, probe.expect)


def get(probe: Probe, url: str) -> Reply:
    """GET a URL, at the probe's `address` if it has one; the URL's name is what is asked for and verified."""
    parts = urllib.parse.urlsplit(url)
    secure = parts.scheme == "https"
    name = parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    address = str(probe.target.get("address") or name)
    place = Place(address, port, trust(probe) if secure else None, name)
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return request(place, path, parts.netloc.rpartition("@")[2], probe.timeout)


def tcp(probe: Probe) -> Finding:
    with connection(_place(probe), probe.timeout):
        return Finding(OK, "accepts connections")


def tls(probe: Probe) -> Finding:
    name = probe.target.get("server_name")
    place = Place(str(probe.target["host"]), int(probe.target["port"]), trust(probe), name)
    with connection(place, probe.timeout) as stream:
        certificate: dict[str, Any] = {}
        if isinstance(stream, ssl.SSLSocket):
            certificate = stream.getpeercert() or {}
    left = ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()
    names = [str(value) for _kind, value in certificate.get("subjectAltName", ())]
    return verdicts.certificate(left, names, probe.expect)


def grpc(probe: Probe) -> Finding:
    place = _place(probe)
    with connection(place, probe.timeout) as stream:
        service = str(probe.target.get("service") or "")
        return verdicts.grpc(grpc_health.check(stream, f"{place.host}:{place.port}", service))


def trust(probe: Probe) -> Trust:
    return Trust(*(probe.target.get(key) for key in ("ca", "certificate", "key")))


def no_answer(probe: Probe, error: Exception) -> Finding:
    """What a connection that failed says about its other side."""
    for kind, detail, remedy in _FAILURES:
        if isinstance(error, kind):
            return Finding(FAIL, detail(error, probe), remedy)
    return Finding(
        FAIL, f"no usable answer: {str(error) or type(error).__name__}", "Read the component's log"
    )


def _late(error: Any, probe: Probe) -> str:
    return str(error) if "within" in str(error) else f"no answer within {probe.timeout:g} s"


# The first kind that fits, so special ones stand before what they are special of.
_FAILURES: Sequence[tuple[type[Exception], Callable[[Any, Probe], str], str]] = (
    (
        ssl.SSLCertVerificationError,
        lambda error, _probe: f"certificate refused: {error.verify_message.rstrip('.')}",
        "Renew the certificate, or correct the names or the CA it is checked against",
    ),
    (
        ssl.SSLError,
        lambda error, _probe: f"TLS failed: {error.reason or error}",
        "Check that it speaks TLS and takes our certificate",
    ),
    (
        grpc_health.GrpcError,
        lambda error, _probe: str(error),
        "Serve grpc.health.v1.Health and set the status of this service",
    ),
    (
        ConnectionRefusedError,
        lambda _error, _probe: "connection refused",
        "Nothing listens there: see whether its container runs",
    ),
    (TimeoutError, _late, "It is overloaded, frozen, or behind a firewall: read its log"),
    *(
        (
            kind,
            lambda error, _probe: f"{error.filename}: {error.strerror}",
            "Deploy this host, and run the module as root",
        )
        for kind in (FileNotFoundError, PermissionError)
    ),
)


def _place(probe: Probe) -> Place:
    return Place(str(probe.target["host"]), int(probe.target["port"]))
