"""Whom to tell of a release, and of how services fare, as declared; values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Email:
    """Mail of a release; `server` is host:port, `password_secret` names a declared secret."""

    to: tuple[str, ...]
    sender: str
    server: str
    tls: str
    user: str | None
    password_secret: str | None


@dataclass(frozen=True)
class Hook:
    """Whom to tell of which events. One of `webhook`, `webhook_secret` and `email` is set.

    signing_secret: names the declared secret that what is posted is signed with.
    """

    on: tuple[str, ...]
    webhook: str | None
    webhook_secret: str | None
    format: str
    email: Email | None
    signing_secret: str | None = None
