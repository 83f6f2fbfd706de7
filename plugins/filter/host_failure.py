"""Filter `host_failure`: why provisioning failed and what to do, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: host_failure
author: Slipway contributors
version_added: 0.1.0
short_description: Why provisioning failed and what to do, in one line
options:
  _input:
    description: The variable C(ansible_failed_result).
    type: dict
    required: true
"""
EXAMPLES = r"""
msg: "{{ ansible_failed_result | slipway.compose.host_failure }}"
"""
RETURN = r"""
_value:
  description: The problem and its remedy.
  type: str
"""

# What a message contains, in small letters -> what to do about it. The first that fits is taken.
REMEDIES: Mapping[str, str] = {
    "sudo password": "Run with -K and the password of this host's user, or let that user sudo without one",
    "is not in the sudoers file": "Let this host's user sudo",
    "no space left on device": "Free some space on this host (df -h shows where), then run again",
    "enough free space": "Free some space on this host (apt-get clean is a start), then run again",
    "docker daemon with file": "Correct host_engine_settings; the engine still runs with its old settings",
    ".nft": "Correct host_firewall_rules; the old rules still hold",
    "service docker": "Read why on this host: journalctl -u docker",
    "lock apt": "Something else installs packages on this host; wait for it, then run again",
    "failed to update apt cache": "Check this host's way to its mirrors (/etc/apt/sources.list.d)",
    "no package matching": "Check this host's package sources (/etc/apt/sources.list.d)",
}


def host_failure(result: Mapping[str, Any]) -> str:
    failed = next((item for item in result.get("results") or () if item.get("failed")), result)
    problem = " ".join(_problem(failed).split()).rstrip(".")
    remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in problem.lower()), "")
    return f"{problem}. {remedy}." if remedy else f"{problem}."


def _problem(result: Mapping[str, Any]) -> str:
    message = str(result.get("msg") or "The task failed and did not say why")
    for layer in ("Task failed: ", "Module failed: ", "Action failed: "):
        message = message.removeprefix(layer)
    # A validator's own words; what Ansible adds is that there was one.
    return f"{message}: {result['stderr']}" if "validate" in message and result.get("stderr") else message


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"host_failure": host_failure}
