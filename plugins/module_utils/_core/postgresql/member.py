"""Whether the PostgreSQL member on this host leads: asked alike by every module that sends SQL."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from ..checks import verdicts
from ..checks.health import Probe
from ..checks.probes_data import patroni_view
from ..retry import Patience, delays
from .postgres import LEADER, Psql, leadership

# Ansible's argument spec of the options in the documentation fragment `slipway.compose.slipway.postgres`.
ARGUMENTS: Mapping[str, Any] = {
    "container": {"type": "str", "required": True},
    "wait": {"type": "int", "default": 60},
    "patroni": {
        "type": "dict",
        "options": {
            "url": {"type": "str", "required": True},
            "ca": {"type": "path"},
            "certificate": {"type": "path"},
            "key": {"type": "path", "no_log": False},
        },
    },
}


def patience(seconds: float) -> Patience:
    return Patience(seconds, delays(0.25, 3.0))


def leads(psql: Psql, wait: float, patroni: Mapping[str, Any] | None) -> bool:
    """Whether the member here leads, once there is a leader somewhere."""
    return leadership(psql, patience(wait), lambda: bool(patroni) and another_leads(patroni or {})) == LEADER


def another_leads(patroni: Mapping[str, Any]) -> bool:
    """Whether Patroni on this host names another member as leader; False where it cannot be asked."""
    probe = Probe("leader", "postgres", "postgres", patroni)
    try:
        name, cluster = patroni_view(probe)
    except (OSError, ValueError, HTTPException):
        return False
    return name in verdicts.followers(cluster)
