"""Filter `host_fingerprint`: a digest of everything that provisioning a host depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..plugin_utils.host_programs import programs, sources

DOCUMENTATION = r"""
name: host_fingerprint
author: Slipway contributors
version_added: 0.1.0
short_description: Digest of everything that provisioning a host depends on
description:
  - Covers the files of the role C(host) and the programs it installs, what the stack asks of it, and its
    inventory's C(host_*) variables.
  - A host whose C(/etc/slipway/host.json) holds the same value need not be provisioned again.
options:
  _input:
    description: What the stack asks of the host (P(slipway.compose.host_stack#filter)).
    type: dict
    required: true
  settings:
    description: The inventory's variables whose names begin with C(host_).
    type: dict
    required: true
"""
EXAMPLES = r"""
fingerprint: "{{ host_stack | slipway.compose.host_fingerprint({'host_time_sync': 'none'}) }}"
"""
RETURN = r"""
_value:
  description: Sixteen hexadecimal digits.
  type: str
"""

ROLE = Path(__file__).resolve().parents[2] / "roles" / "host"
# What acts on a host; its documentation does not.
PARTS = ("defaults", "files", "handlers", "tasks", "templates", "vars")


def host_fingerprint(host_stack: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    inputs = json.dumps([_plain(host_stack), _plain(settings)], sort_keys=True)
    return hashlib.sha256(f"{_role_digest()}{inputs}".encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _role_digest() -> str:
    digest = hashlib.sha256()
    own = (file for part in PARTS for file in (ROLE / part).rglob("*") if file.is_file())
    for path in sorted([*own, *_installed()]):
        digest.update(f"{path.relative_to(ROLE.parents[1])}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _installed() -> set[Path]:
    return {path for program in programs() for path in sources(program).values()}


def _plain(value: Any) -> Any:
    """The same data in plain types: Ansible's own containers are lazy and tagged."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float)) or value is None else str(value)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"host_fingerprint": host_fingerprint}
