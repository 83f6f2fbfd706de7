"""Which images a stack needs, and where each comes from: a folder to build, or a reference the user gave."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SlipwayError
from ..stack.components import COMPONENTS
from ..stack.model import Stack
from ..stack.topology import Topology
from ..wording import listed
from .image_sources import Source, read_source

BASE = "base"
REGISTRY = "registry"

Versions = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Catalog:
    """Every image of an environment.

    sources: key -> what is built; the base is among them when anything stands on it.
    upstream: references that are used as they are given.
    names: what templates ask for (a component's image or a service) -> key of a source or reference.
    """

    sources: Mapping[str, Source]
    upstream: frozenset[str]
    names: Mapping[str, str]

    def references(self, built: Mapping[str, str], resolved: Mapping[str, str]) -> dict[str, str]:
        """What templates ask for -> the reference that hosts pull."""
        known = {**resolved, **built}
        return {name: known.get(key, key) for name, key in sorted(self.names.items())}


@dataclass(frozen=True)
class Folders:
    """Where sources are on the control node. `epoch` is part of the base: a new value means new packages."""

    images: Path
    checkout: Path
    versions: Versions
    epoch: str = ""


def catalog(topology: Topology, folders: Folders) -> Catalog:
    """What the hosts of an environment pull; the registry's own image is in `registry_catalog`."""
    stack = topology.stack
    _require_postgres(stack, folders)
    used = sorted({COMPONENTS[name].image for view in topology.views.values() for name in view.components})
    names = _platform_names(stack, used)
    for service in stack.services.values():
        if service.name in names:
            raise SlipwayError(
                f"services/{service.name} has the name of one of the platform's images",
                "Give the service another name",
            )
        names[service.name] = _built_name(stack, service.build) if service.build else str(service.image)
    builds = {service.build for service in stack.services.values() if service.build}
    sources = _platform_sources(stack, used, folders)
    sources += [_service_source(stack, build, folders) for build in sorted(builds)]
    return _catalog(stack, sources, names, folders)


def _require_postgres(stack: Stack, folders: Folders) -> None:
    """Or members would not start, which is how an image without the declared version would be found out."""
    told = folders.versions.get("postgres", {})
    built = {told.get(name, "").partition(".")[0] for name in ("POSTGRES_VERSION", "POSTGRES_OTHER")} - {""}
    postgres = stack.components.postgres
    if postgres and "postgres" not in stack.images and built and str(postgres.version) not in built:
        raise SlipwayError(
            f"stack/components/postgres/version is {postgres.version}, and compose/images/versions.yml has "
            f"PostgreSQL {listed(sorted(built))}",
            "Have both versions in the image first: docs/runbooks/postgres-major-upgrade.md",
        )


def registry_catalog(stack: Stack, folders: Folders) -> Catalog:
    """The registry's own image: it cannot come from the registry."""
    sources = _platform_sources(stack, [REGISTRY], folders)
    return _catalog(stack, sources, _platform_names(stack, [REGISTRY]), folders)


def _catalog(stack: Stack, sources: Sequence[Source], names: Mapping[str, str], folders: Folders) -> Catalog:
    if BASE not in stack.images and any(source.on_base for source in sources):
        sources = [_base(folders), *sources]
    by_name = {source.name: source for source in sources}
    return Catalog(by_name, frozenset(names.values()) - by_name.keys(), names)


def _platform_names(stack: Stack, images: Sequence[str]) -> dict[str, str]:
    """The platform's images are built here, unless the stack names another reference for them."""
    return {image: stack.images.get(image, image) for image in images}


def _platform_sources(stack: Stack, images: Sequence[str], folders: Folders) -> list[Source]:
    base = _base_reference(stack, folders)
    return [
        read_source(image, f"slipway/{image}", folders.images / image, folders.versions.get(image, {}), base)
        for image in images
        if image not in stack.images
    ]


def _service_source(stack: Stack, build: str, folders: Folders) -> Source:
    # Two folders may get the same repository; their tags always differ.
    slug = re.sub(r"[^a-z0-9]+", "-", build.lower()).strip("-") or "service"
    base = _base_reference(stack, folders)
    return read_source(_built_name(stack, build), f"{stack.name}/{slug}", folders.checkout / build, {}, base)


def _built_name(stack: Stack, build: str) -> str:
    """Never the name of one of the platform's images, as those have no slash."""
    return f"{stack.name}/{build}"


def _base(folders: Folders) -> Source:
    arguments = {**folders.versions.get(BASE, {}), **({"EPOCH": folders.epoch} if folders.epoch else {})}
    return read_source(BASE, f"slipway/{BASE}", folders.images / BASE, arguments, "")


def _base_reference(stack: Stack, folders: Folders) -> str:
    return stack.images[BASE] if BASE in stack.images else _base(folders).local
