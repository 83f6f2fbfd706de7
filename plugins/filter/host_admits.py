"""Filter `host_admits`: would the firewall let this very SSH session in again?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from .host_family import network

DOCUMENTATION = r"""
name: host_admits
author: Slipway contributors
version_added: 0.1.0
short_description: Whether an SSH session is one the firewall would let in
options:
  _input:
    description: The words of C(SSH_CONNECTION), client address, client port, server address, server port.
    type: list
    elements: str
    required: true
  networks:
    description: Addresses and networks that may use SSH.
    type: list
    elements: str
    required: true
  ports:
    description: Ports that SSH may use.
    type: list
    elements: int
    required: true
"""
EXAMPLES = r"""
# true
open: "{{ ['10.0.0.9', '50000', '10.0.0.1', '22'] | slipway.compose.host_admits(['10.0.0.0/24'], [22]) }}"
"""
RETURN = r"""
_value:
  description: Whether both the client's address and the server's port are let in.
  type: bool
"""


def host_admits(session: Sequence[str], networks: Sequence[str], ports: Sequence[int]) -> bool:
    client = ip_address(session[0].split("%")[0])
    admitted = [network(address) for address in networks]
    return any(client in each for each in admitted) and int(session[3]) in [int(port) for port in ports]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., bool]]:
        return {"host_admits": host_admits}
