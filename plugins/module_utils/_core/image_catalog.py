"""Which images a stack needs, and where each comes from: a folder to build, or a reference the user gave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .components import COMPONENTS
from .errors import SlipwayError
from .image_sources import Source, read_source
from .model import Stack
from .topology import Topology

BASE = "base"
REGISTRY = "registry"

Versions = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Catalog:
    """Every image of an environment.

    sources: key -> what is built; the base is among them when anything stands on it.
    upstream: key -> a reference that is used as it is.
    names: what templates ask for (a component's image or a service) -> key.
    """

    sources: Mapping[str, Source]
    upstream: Mapping[str, str]
    names: Mapping[str, str]

    def references(self, built: Mapping[str, str], resolved: Mapping[str, str]) -> dict[str, str]:
        """What templates ask for -> the reference that hosts pull."""
        known = {**self.upstream, **resolved, **built}
        return {name: known[key] for name, key in sorted(self.names.items())}


@dataclass(frozen=True)
class Folders:
    """Where sources are on the control node. `epoch` is part of the base: a new value means new packages."""

    images: Path
    checkout: Path
    versions: Versions
    epoch: str = ""


def catalog(topology: Topology, folders: Folders) -> Catalog:
    """What the hosts of an environment pull; the registry's own image is in `registry_catalog`."""
    used = {COMPONENTS[name].image for view in topology.views.values() for name in view.components}
    parts = _platform(topology.stack, sorted(used), folders)
    names = {image: image for image in sorted(used)}
    for service in topology.stack.services.values():
        if service.name in names:
            raise SlipwayError(
                f"services/{service.name} has the name of one of the platform's images",
                "Give the service another name",
            )
        names[service.name] = service.build or str(service.image)
    for service in topology.stack.services.values():
        if service.build and service.build not in parts.sources:
            repository = f"{topology.stack.name}/{_slug(service.build)}"
            folder = folders.checkout / service.build
            source = read_source(
                service.build, repository, folder, {}, _base_reference(topology.stack, folders)
            )
            parts.sources[service.build] = source
        elif service.image:
            parts.upstream[service.image] = service.image
    return _catalog(parts, topology.stack, folders, names)


def registry_catalog(stack: Stack, folders: Folders) -> Catalog:
    """The registry's own image: it cannot come from the registry."""
    return _catalog(_platform(stack, [REGISTRY], folders), stack, folders, {REGISTRY: REGISTRY})


@dataclass(frozen=True)
class _Parts:
    sources: dict[str, Source]
    upstream: dict[str, str]


def _platform(stack: Stack, images: list[str], folders: Folders) -> _Parts:
    """The platform's images: built here, unless the stack names another reference for them."""
    upstream = {image: stack.images[image] for image in images if image in stack.images}
    base = _base_reference(stack, folders)
    sources = {
        image: read_source(
            image, f"slipway/{image}", folders.images / image, folders.versions.get(image, {}), base
        )
        for image in images
        if image not in upstream
    }
    return _Parts(sources, upstream)


def _catalog(parts: _Parts, stack: Stack, folders: Folders, names: Mapping[str, str]) -> Catalog:
    sources = dict(parts.sources)
    if BASE not in stack.images and any(source.on_base for source in sources.values()):
        sources = {BASE: _base(folders), **sources}
    return Catalog(sources, dict(parts.upstream), names)


def _base(folders: Folders) -> Source:
    arguments = {**folders.versions.get(BASE, {}), **({"EPOCH": folders.epoch} if folders.epoch else {})}
    return read_source(BASE, f"slipway/{BASE}", folders.images / BASE, arguments, "")


def _base_reference(stack: Stack, folders: Folders) -> str:
    return stack.images[BASE] if BASE in stack.images else _base(folders).local


def _slug(folder: str) -> str:
    """A build folder as a registry path; two folders may share it, their tags never."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "service"
