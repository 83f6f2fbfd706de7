"""Failures that are foreseen."""

from __future__ import annotations

from collections.abc import Collection


class WayfareError(Exception):
    """Its message says what is the matter and, to whom it concerns, what to do."""


class InvalidSettingsError(WayfareError):
    """The environment is incomplete or wrong; each problem names its variable and the remedy."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("wayfare cannot start:" + "".join(f"\n  - {problem}" for problem in problems))


class RefusedError(WayfareError):
    """The request cannot be served as it is; the message says what to send instead."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UnavailableError(WayfareError):
    """Something this request needs does not answer at the moment; the same request may be sent again."""


class CacheAwayError(WayfareError):
    """Redis does not answer; whoever asked does without."""


class JourneysAwayError(WayfareError):
    """The journeys service did not answer; `reason` is short enough for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
