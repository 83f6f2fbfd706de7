"""Filter `host_peers`: the hosts of a host's own environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._core.errors import SlipwayError
from ..plugin_utils.environment import members, select

DOCUMENTATION = r"""
name: host_peers
author: Slipway contributors
version_added: 0.1.0
short_description: The hosts of a host's own environment
description:
  - An environment is a child of the inventory group C(environments).
  - Answers for the whole environment, also when C(--limit) selects only some of its hosts.
options:
  _input:
    description: The magic variable C(hostvars), which knows the inventory.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
"""
EXAMPLES = r"""
peers: "{{ hostvars | slipway.compose.host_peers(inventory_hostname) }}"
"""
RETURN = r"""
_value:
  description: Names of the hosts, the host itself among them.
  type: list
  elements: str
"""


def host_peers(variables: Any, host: str) -> list[str]:
    environments = members(variables)
    if not any(host in hosts for hosts in environments.values()):
        return [host]
    try:
        return list(environments[select([host], environments)])
    except SlipwayError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"host_peers": host_peers}
