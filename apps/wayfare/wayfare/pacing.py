"""Spreading bytes evenly over a time."""

from __future__ import annotations


def ahead(sent: int, size: int, seconds: float, elapsed: float) -> float:
    """How long to wait after `sent` of `size` bytes that shall take so many seconds together."""
    return max(0.0, seconds * sent / size - elapsed) if size else 0.0
