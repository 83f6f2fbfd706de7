"""Filter `host_stack`: what an environment's stack asks of one of its hosts' operating systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..module_utils._core.topology import PORTS

DOCUMENTATION = r"""
name: host_stack
author: Slipway contributors
version_added: 0.1.0
short_description: What a stack asks of one host
description: Reads the stack as the user wrote it, so that hosts can be provisioned before it is complete.
options:
  _input:
    description: The stack definition.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  addresses:
    description: Private address of every host of the environment, by name.
    type: dict
    required: true
"""
EXAMPLES = r"""
host_stack: "{{ stack | slipway.compose.host_stack('a', {'a': '10.0.0.1', 'b': '10.0.0.2'}) }}"
"""
RETURN = r"""
_value:
  description: The role's input C(host_stack).
  type: dict
"""

REGISTRY_PORT = 5000
# Replicas of services are published here; the model hands out ranges from its beginning.
SERVICE_PORTS = "20000-29999"


def host_stack(stack: Mapping[str, Any], host: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    components = stack.get("components") or {}
    edge = components.get("edge") or {}
    registry = components.get("registry") or {}
    public = [edge.get("http_port", 80), edge.get("https_port", 443)] if _edge(edge, host) else []
    return {
        "name": str(stack.get("name", "slipway")),
        "peers": sorted({str(address) for address in addresses.values()}),
        "peer_ports": [*sorted({*PORTS.values(), registry.get("port", REGISTRY_PORT)}), SERVICE_PORTS],
        "public_ports": public,
    }


def _edge(edge: Mapping[str, Any], host: str) -> bool:
    hosts: Sequence[str] = edge.get("hosts") or []
    return not hosts or host in hosts


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"host_stack": host_stack}
