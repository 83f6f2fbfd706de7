"""Which ports an environment's hosts publish, and where two parts want the same one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import Problem
from .model import Stack
from .model_service import Service
from .topology import (
    ARCHIVE_PORTS,
    BACKUP_PORTS,
    CONSOLE_PORTS,
    LOG_PORTS,
    PORTS,
    TRACE_PORTS,
)

FIRST_PUBLISHED = 20_000
# A block holds two pools of five replicas. The last one ends below 32768, where Linux's outgoing ports begin.
BLOCK = 10
BLOCKS = 1_270


def publish_base(service: str) -> int:
    """A service's first published port: of its name alone, so that adding a service moves no other."""
    return FIRST_PUBLISHED + zlib.crc32(service.encode()) % BLOCKS * BLOCK


@dataclass(frozen=True)
class Claim:
    """Ports that one part of the stack publishes; `path` is where the user can change them."""

    owner: str
    path: str
    first: int
    count: int = 1

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    def overlaps(self, other: Claim) -> bool:
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        return f"port {self.first}" if self.count == 1 else f"ports {self.first} to {self.last}"


def collisions(stack: Stack) -> Iterator[Problem]:
    """Ports wanted twice. Hosts are not told apart, so that a service may move to another host later."""
    claims = _claims(stack)
    for index, claim in enumerate(claims):
        rival = next((earlier for earlier in claims[:index] if earlier.overlaps(claim)), None)
        if rival:
            free = _free(claims, claim.count)
            remedy = (
                f"Set {claim.path.rsplit('/', 1)[1]} to another one{f', for example {free}' if free else ''}"
            )
            yield Problem(claim.path, f"takes {claim}, of which {rival.owner} takes {rival}", remedy)
        elif claim.last > 65535:
            yield Problem(
                claim.path, f"takes {claim}, above 65535", f"Set it to {65536 - claim.count} or below"
            )


def _claims(stack: Stack) -> list[Claim]:
    """What cannot be moved comes first, so that the fault is found in what can."""
    parts = stack.components
    edge, registry, backup = parts.edge, parts.registry, parts.backup
    own = {
        **PORTS,
        **(BACKUP_PORTS if backup else {}),
        **(ARCHIVE_PORTS if backup and backup.archive else {}),
        **(LOG_PORTS if parts.logs else {}),
        **(TRACE_PORTS if parts.logs and parts.logs.traces else {}),
        **(CONSOLE_PORTS if parts.console else {}),
    }
    fixed = [Claim(name, "", port) for name, port in own.items()]
    components = [
        Claim("the edge's http_port", "stack/components/edge/http_port", edge.http_port),
        Claim("the edge's https_port", "stack/components/edge/https_port", edge.https_port),
        Claim("the registry", "stack/components/registry/port", registry.port),
    ]
    published = [service for service in stack.services.values() if not service.is_worker]
    return [Claim("SSH", "", 22), *fixed, *components, *map(_service_claim, published)]


def _service_claim(service: Service) -> Claim:
    path = f"stack/services/{service.name}/publish_base"
    return Claim(f"service {service.name}", path, service.publish_base, 2 * service.replicas)


def _free(claims: Sequence[Claim], count: int) -> int | None:
    bases = (FIRST_PUBLISHED + block * BLOCK for block in range(BLOCKS))
    wanted = (Claim("", "", base, count) for base in bases)
    return next((claim.first for claim in wanted if not any(claim.overlaps(other) for other in claims)), None)
