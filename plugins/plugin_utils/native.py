"""Ansible's values as Python's own, without the tags that serialisers and type checks stumble over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def native(value: object) -> object:
    """The same value of plain dicts, lists and scalars; what is none of these is returned as it is."""
    if isinstance(value, Mapping):
        return {native(key): native(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [native(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
