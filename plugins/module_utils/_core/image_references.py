"""Image references, taken apart: `[registry/]repository[:tag][@digest]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import SlipwayError

DOCKER_HUB = "registry-1.docker.io"

_REFERENCE = re.compile(
    r"(?P<path>[A-Za-z0-9][A-Za-z0-9._:/-]*?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """Where an image lives. `name` is what the user wrote before tag and digest."""

    name: str
    registry: str
    repository: str
    tag: str
    digest: str | None

    def pinned(self, digest: str) -> str:
        return f"{self.name}@{digest}"


def parse(reference: str) -> Reference:
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise SlipwayError(
            f"{reference!r} is not an image reference",
            "Write [registry/]repository:tag or [registry/]repository@sha256:…",
        )
    name, tag = found["path"], found["tag"] or "latest"
    first, _slash, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        registry = DOCKER_HUB if first == "docker.io" else first
        repository = rest
    else:
        registry, repository = DOCKER_HUB, name
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(name, registry, repository, tag, found["digest"])
