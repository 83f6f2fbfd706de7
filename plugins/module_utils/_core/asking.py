"""What a host's programs that ask others have in common: whom they trust, how they read what they hear."""

from __future__ import annotations

import re
import socket
import ssl
import urllib.error
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def trust() -> ssl.SSLContext:
    """In the host's own CA bundle, made anew each time: the bundle may have been changed."""
    context = ssl.create_default_context()
    # Newer Pythons refuse certificates of older CAs that every other client takes.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def fault(error: Exception) -> str:
    """In words; what cannot be sent may be a secret, and is not repeated."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        return f"its name does not resolve: {reason.strerror}"
    if isinstance(reason, ssl.SSLError):
        return f"TLS: {getattr(reason, 'verify_message', '') or reason.reason}"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError):
        return reason.strerror or str(reason)
    return f"what was sent or answered is no HTTP: {type(reason).__name__}"


def patience(said: str | None) -> float | None:
    """Retry-After: seconds, or a date."""
    if said is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", said):
        return float(said)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)
