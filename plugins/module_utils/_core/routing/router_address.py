"""Where a router's runtime API listens: decided on the control node, which never opens a socket to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Address:
    """Where one router's runtime API listens."""

    name: str
    address: str
    port: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Address:
        return cls(str(values["name"]), str(values["address"]), int(values["port"]))
