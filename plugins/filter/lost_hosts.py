"""Filter `lost_hosts`: which hosts a run could not reach, in any of the answers it has kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: lost_hosts
author: Slipway contributors
version_added: 0.1.0
short_description: Which hosts a run could not reach
description:
  - A task with C(ignore_unreachable) goes on without the hosts it did not reach. They are found again in what
    the task has registered.
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  hosts:
    description: Hosts to look at.
    type: list
    elements: str
    required: true
  answers:
    description: Names of registered variables.
    type: list
    elements: str
    required: true
"""
EXAMPLES = r"""
lost: "{{ hostvars | slipway.compose.lost_hosts(ansible_play_hosts_all, ['__pinged']) }}"
"""
RETURN = r"""
_value:
  description: Those of the hosts of which an answer says that they could not be reached.
  type: list
  elements: str
"""


def lost_hosts(variables: Mapping[str, Any], hosts: Sequence[str], answers: Sequence[str]) -> list[str]:
    def lost(host: str) -> bool:
        told = [variables[host].get(name) for name in answers]
        return any(isinstance(answer, Mapping) and bool(answer.get("unreachable")) for answer in told)

    return [host for host in hosts if lost(host)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"lost_hosts": lost_hosts}
