"""Anonymous visitors: a random id in a signed cookie."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid

COOKIE = "wayfare_session"
LIFETIME = 30 * 24 * 3600
_SHAPE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})")


def new_session() -> str:
    return uuid.uuid4().hex


def sign(session: str, key: bytes) -> str:
    return f"{session}.{_signature(session, key)}"


def verify(cookie: str | None, key: bytes) -> str | None:
    """The session a cookie stands for, or None when it is missing, malformed or not ours."""
    match = _SHAPE.fullmatch(cookie or "")
    if match and hmac.compare_digest(match[2], _signature(match[1], key)):
        return match[1]
    return None


def _signature(session: str, key: bytes) -> str:
    return hmac.new(key, session.encode(), hashlib.sha256).hexdigest()
