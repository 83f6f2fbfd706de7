"""What the first monitoring host is told of whom to tell how services fare."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..schema.schema_hooks import STATES
from ..stack.model import Stack
from ..stack.model_hooks import Hook
from ..stack.topology import PORTS, HostView, Topology

FOLDER = "config/host/availability"


def listening(stack: Stack) -> list[Hook]:
    """Hooks that are told how services fare."""
    return [hook for hook in stack.hooks if set(hook.on) & set(STATES)]


def here(topology: Topology, view: HostView) -> bool:
    """Whether this host tells it: one does, for two would contradict each other."""
    first = topology.stack.components.monitoring.hosts[0]
    return view.host.name == first and bool(listening(topology.stack))


def listing(topology: Topology, view: HostView, environment: str) -> str:
    """Of secrets the name alone, which is that of a file beside it."""
    stack = topology.stack
    told = {
        "prometheus": f"http://{view.host.address}:{PORTS['prometheus']}",
        "where": {"stack": stack.name, "environment": environment},
        "services": sorted(service.name for service in topology.routed()),
        "edges": len(stack.components.edge.hosts),
        "hooks": [
            {
                "on": [it for it in hook.on if it in STATES],
                "url": hook.webhook,
                "url_secret": hook.webhook_secret,
                "signing_secret": hook.signing_secret,
                "format": hook.format,
            }
            for hook in listening(stack)
        ],
    }
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def secret_names(hooks: Sequence[Hook]) -> list[str]:
    return sorted({name for it in hooks for name in (it.webhook_secret, it.signing_secret) if name})
