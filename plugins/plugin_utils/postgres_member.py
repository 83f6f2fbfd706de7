"""How the database modules reach the PostgreSQL member of their own host."""

from __future__ import annotations

from typing import Any

from ..module_utils._core.stack.model import Stack
from ..module_utils._core.stack.topology import PORTS, HostView
from .stack_action import host_tls

NOT_A_MEMBER: dict[str, Any] = {"skipped": True, "skip_reason": "no PostgreSQL member on this host"}


def member(stack: Stack, view: HostView) -> dict[str, Any]:
    """The member's container, and Patroni's API to ask who leads."""
    patroni = {"url": f"https://{view.host.address}:{PORTS['patroni']}", **host_tls(stack.name)}
    return {"container": f"{stack.name}-postgres-1", "patroni": patroni}
