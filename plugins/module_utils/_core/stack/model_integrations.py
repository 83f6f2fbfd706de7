"""What others' services hear of errors, figures, logs and traces, as declared; values only.

Names that end in `_secret` are those of declared secrets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentry:
    """Where applications report errors. One of `dsn` and `dsn_secret` is set. services: None for all."""

    dsn: str | None
    dsn_secret: str | None
    ca_secret: str | None
    environment: str | None
    traces_sample_rate: float
    services: tuple[str, ...] | None


@dataclass(frozen=True)
class RemoteWrite:
    """A store that gets what Prometheus measures, over Prometheus's own protocol.

    keep: a regular expression of the names of metrics that go there; None for all.
    """

    url: str
    user: str | None
    password_secret: str | None
    token_secret: str | None
    ca_secret: str | None
    keep: str | None


@dataclass(frozen=True)
class Export:
    """Somebody else who gets traces, over OTLP."""

    url: str
    headers_secret: str | None


@dataclass(frozen=True)
class LogExport(Export):
    """Somebody else who gets every line, over OTLP. audit: also those that say who did what."""

    encoding: str = "json"
    audit: bool = False
