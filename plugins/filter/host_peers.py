"""Filter `host_peers`: the hosts of a host's own environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    description: The magic variable C(groups).
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
"""
EXAMPLES = r"""
peers: "{{ groups | slipway.compose.host_peers(inventory_hostname) }}"
"""
RETURN = r"""
_value:
  description: Names of the hosts, the host itself among them.
  type: list
  elements: str
"""

PARENT = "environments"


def host_peers(groups: Mapping[str, Sequence[str]], host: str) -> list[str]:
    declared = set(groups.get(PARENT, ()))
    if host not in declared:
        return [host]
    within = [
        list(hosts)
        for name, hosts in groups.items()
        if name not in ("all", "ungrouped", PARENT) and host in hosts and set(hosts) <= declared
    ]
    # Groups inside an environment are smaller than the environment itself.
    return max(within, key=len)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"host_peers": host_peers}
