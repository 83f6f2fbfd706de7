"""Filter `host_stack`: what an environment's stack asks of one of its hosts' operating systems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..module_utils._core.backup.backups import calendar
from ..module_utils._core.schema.forms import NAME
from ..module_utils._core.schema.schema_hooks import STATES
from ..module_utils._core.schema.schema_rollout import MOST_REPLICAS
from ..module_utils._core.stack.ports import BLOCK, BLOCKS, FIRST_PUBLISHED, publish_base
from ..module_utils._core.stack.topology import (
    ARCHIVE_PORTS,
    BACKUP_PORTS,
    CONSOLE_PORTS,
    LOG_PORTS,
    PORTS,
    TRACE_PORTS,
    keeper,
)

DOCUMENTATION = r"""
name: host_stack
author: Slipway contributors
version_added: 0.1.0
short_description: What a stack asks of one host
description:
  - Reads the stack as the user wrote it, so that hosts can be provisioned before it is complete.
  - A host's peers reach it at its C(slipway_address), or else at its C(ansible_host), or else at its name.
options:
  _input:
    description: The stack definition.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  peers:
    description: Names of the environment's hosts.
    type: list
    elements: str
    required: true
  variables:
    description: The magic variable C(hostvars).
    type: dict
    required: true
"""
EXAMPLES = r"""
host_stack: "{{ stack | slipway.compose.host_stack(inventory_hostname, groups['production'], hostvars) }}"
"""
RETURN = r"""
_value:
  description: The role's input C(host_stack).
  type: dict
"""

REGISTRY_PORT = 5000
HIGHEST_PORT = 65535


def host_stack(
    stack: Mapping[str, Any], host: str, peers: Sequence[str], variables: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    components = stack.get("components") or {}
    edge = components.get("edge") or {}
    registry = components.get("registry") or {}
    backup = components.get("backup")
    archive = backup.get("archive") if isinstance(backup, Mapping) else None
    elsewhere = isinstance(backup, Mapping) and isinstance(backup.get("second"), Mapping)
    logs = components.get("logs")
    own = {
        **PORTS,
        **(BACKUP_PORTS if isinstance(backup, Mapping) else {}),
        **(ARCHIVE_PORTS if isinstance(archive, Mapping) else {}),
        **({} if components.get("console") is False else CONSOLE_PORTS),
    }
    ports = {*own.values(), int(registry.get("port") or REGISTRY_PORT)}
    if isinstance(logs, Mapping):
        ports.add(LOG_PORTS["logs-proxy"])
        ports |= set(TRACE_PORTS.values()) if isinstance(logs.get("traces"), Mapping) else set()
    asked = {
        "name": str(stack.get("name", "slipway")),
        "peers": sorted({_address(peer, variables[peer]) for peer in peers}),
        "peer_ports": [*map(str, sorted(ports)), *_service_ports(stack.get("services") or {})],
        "public_ports": [edge.get("http_port") or 80, edge.get("https_port") or 443]
        if _is_edge(edge, host, peers)
        else [],
    }
    if others := _other_site(components.get("postgres"), host, peers, variables):
        asked["other_site"] = {"addresses": others, "ports": sorted([PORTS["postgres"], PORTS["patroni"]])}
    if watchdog := _watchdog(components.get("postgres"), host, peers):
        asked["watchdog"] = watchdog
    if isinstance(backup, Mapping) and host in (backup.get("hosts") or keeper(peers)):
        asked["backup"] = {
            "backup": calendar(str(backup.get("at") or "02:00"), str(backup.get("every") or "24h")),
            "verify": calendar(str(backup.get("verify_at") or "05:00"), "24h"),
        }
    monitoring = components.get("monitoring") or {}
    if monitoring.get("outside") and host in (monitoring.get("hosts") or keeper(peers)):
        asked["third_parties"] = True
    if host == (monitoring.get("hosts") or keeper(peers))[0] and any(
        map(_tells_states, stack.get("hooks") or [])
    ):
        asked["availability"] = True
    if isinstance(archive, Mapping):
        asked["archive"] = {
            "take": calendar(str(archive.get("at") or "03:00"), "24h"),
            "keep": calendar("00:30", "1h") if "backup" in asked else "",
            "second": calendar("00:50", "1h") if "backup" in asked and elsewhere else "",
        }
    data = stack.get("data") or {}
    kept = any((care or {}).get("retention") for care in (data.get("databases") or {}).values())
    if kept and host in ((components.get("postgres") or {}).get("hosts") or peers[:3]):
        asked["retention"] = calendar(str(data.get("retention_at") or "04:30"), "24h")
    if isinstance(logs, Mapping):
        others = _exports(logs.get("exports"))
        asked["logs"] = {"buffer": str(logs.get("buffer") or "1G"), **({"exports": others} if others else {})}
    return asked


def _exports(declared: object) -> list[str]:
    """Those who get lines as well; each is a part of a unit's name, so what is no name is none of them."""
    names = declared if isinstance(declared, Mapping) else {}
    return sorted(name for name in names if isinstance(name, str) and re.fullmatch(NAME.pattern, name))


def _tells_states(hook: Any) -> bool:
    """Whether it is told how services fare. YAML 1.1 reads the key `on` as a boolean."""
    return isinstance(hook, Mapping) and bool({*STATES} & {*(hook.get("on") or hook.get(True) or [])})


def _watchdog(postgres: object, host: str, peers: Sequence[str]) -> str:
    """What PostgreSQL's member on this host wants of its watchdog; "" where nothing. `off` may be false."""
    if not isinstance(postgres, Mapping) or host not in (postgres.get("hosts") or peers[:3]):
        return ""
    wanted = postgres.get("watchdog")
    return wanted if wanted in ("automatic", "required") else ""


def _other_site(
    postgres: object, host: str, peers: Sequence[str], variables: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Addresses of the hosts that take this one's WAL, or give it theirs."""
    site = postgres.get("other_site") if isinstance(postgres, Mapping) else None
    if not isinstance(postgres, Mapping) or not site or host not in (postgres.get("hosts") or peers[:3]):
        return []
    theirs: Sequence[str] = variables[host]["groups"].get(site.get("environment"), [])
    settings = (
        ((variables[theirs[0]].get("stack") or {}).get("components") or {}).get("postgres") if theirs else {}
    )
    named = (settings or {}).get("hosts") or theirs[:3]
    return sorted(_address(name, variables[name]) for name in named)


def _address(host: str, variables: Mapping[str, Any]) -> str:
    return str(variables.get("slipway_address") or variables.get("ansible_host") or host)


def _service_ports(services: Mapping[str, Any]) -> Iterator[str]:
    """The range services are given ports from, so that a new one needs no new rule; and what lies beyond it.

    Of both pools with the most replicas: who scales does not come by here again.
    """
    last_given = FIRST_PUBLISHED + BLOCK * BLOCKS - 1
    yield f"{FIRST_PUBLISHED}-{last_given}"
    for name, service in services.items():
        if not service.get("port"):
            continue  # a worker
        base = service.get("publish_base") or publish_base(name)
        most = (service.get("scale") or {}).get("max", MOST_REPLICAS)
        last = min(base + 2 * most - 1, HIGHEST_PORT)
        if base < FIRST_PUBLISHED or last > last_given:
            yield f"{base}-{last}"


def _is_edge(edge: Mapping[str, Any], host: str, peers: Sequence[str]) -> bool:
    hosts: Sequence[str] = edge.get("hosts") or []
    return host in (hosts or peers[:2])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"host_stack": host_stack}
