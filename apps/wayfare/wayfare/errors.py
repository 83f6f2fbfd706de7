"""Failures a caller can act on."""

from __future__ import annotations


class Refused(Exception):
    """The request cannot be served as it is; the message says what to send instead."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Unavailable(Exception):
    """Something this request needs does not answer at the moment; the same request may be sent again."""
