"""Post JSON to somebody else's address, signed as https://www.standardwebhooks.com has it, within a deadline.

Stands on the hosts as well, as a part of the program that tells how services fare: needs nothing but Python.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

DEADLINE = 5.0
# Whoever knows such a URL can post.
SECRET_URLS = ("hooks.slack.com", "discord.com", "discordapp.com", "webhook.office.com")
# Sockets are given up after the try that they belong to, so that its deadline alone decides what is said.
GRACE = 1.0
_PREFIX = "whsec_"


def signature(secret: str, identity: str, at: int, body: bytes) -> str:
    """What the header webhook-signature says; of a secret after whsec_ its base64 is meant."""
    key = secret.encode()
    if secret.startswith(_PREFIX):
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = hmac.new(key, f"{identity}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


@dataclass(frozen=True)
class Message:
    """identity: the same on a second try, so that a receiver that got both can tell. secret: "" for none."""

    body: bytes
    identity: str
    secret: str = ""


def post(url: str, message: Message, context: ssl.SSLContext, deadline: float) -> None:
    """One try."""
    at = int(time.time())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "slipway",
        "Idempotency-Key": message.identity,
        "webhook-id": message.identity,
        "webhook-timestamp": str(at),
    }
    if message.secret:
        headers["webhook-signature"] = signature(message.secret, message.identity, at, message.body)
    request = Request(url, message.body, headers, method="POST")
    with _opener(context).open(request, timeout=deadline + GRACE) as answer:
        answer.read(65536)


def within(send: Callable[[], None], deadline: float) -> Exception | None:
    """What went wrong, if anything. A socket's timeout counts from the last byte, this from the first."""
    outcomes: list[Exception | None] = []

    def attempt() -> None:
        try:
            send()
            outcomes.append(None)
        except (OSError, HTTPException, ValueError, OverflowError) as error:
            outcomes.append(error)

    worker = Thread(target=attempt, daemon=True, name="slipway-webhook")
    worker.start()
    worker.join(deadline)
    if worker.is_alive():
        return TimeoutError()
    return outcomes[0] if outcomes else RuntimeError("a fault in Slipway, told on standard error")


def reason(failure: Exception, deadline: float) -> str:
    """In words, without the URL, which may be a secret."""
    if isinstance(failure, HTTPError):
        return f"it answers {failure.code} {failure.reason}"
    cause = failure.reason if isinstance(failure, URLError) else failure
    if isinstance(cause, TimeoutError):
        return f"no answer within {deadline:g} s"
    if isinstance(failure, ValueError | OverflowError | HTTPException) and not isinstance(failure, OSError):
        return f"its address or its answer is not valid ({type(failure).__name__})"
    return " ".join(str(cause).split()) or type(cause).__name__


def host(url: str) -> str:
    """What may be said of a URL that may be a secret."""
    try:
        return urlsplit(url).hostname or "without a host"
    except ValueError:
        return "without a host"


def escaped(text: str) -> str:
    """As Slack and those compatible with it take a line."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _opener(context: ssl.SSLContext) -> OpenerDirector:
    """One that follows no redirection: a POST would arrive as a GET without its content."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(context=context),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
