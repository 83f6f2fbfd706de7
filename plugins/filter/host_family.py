"""Filter `host_family`: the addresses and networks of one IP family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: host_family
author: Slipway contributors
version_added: 0.1.0
short_description: Keep the addresses and networks of one IP family
description: Refuses names, because a firewall that resolves them trusts a name server.
options:
  _input:
    description: Addresses and networks.
    type: list
    elements: str
    required: true
  family:
    description: Which ones to keep.
    type: str
    choices: [ip, ip6]
    required: true
"""
EXAMPLES = r"""
peers: "{{ ['10.0.0.1', 'fd00::1'] | slipway.compose.host_family('ip') }}"  # ['10.0.0.1']
"""
RETURN = r"""
_value:
  description: Those of the family, in the order given.
  type: list
  elements: str
"""


def host_family(addresses: Sequence[str], family: str) -> list[str]:
    version = {"ip": 4, "ip6": 6}[family]
    return [str(address) for address in addresses if network(address).version == version]


def network(address: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(address), strict=False)
    except ValueError as error:
        raise AnsibleFilterError(
            f"{address!r} is not an IP address or network. Write 10.0.0.1 or 10.0.0.0/24 for example."
        ) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"host_family": host_family}
