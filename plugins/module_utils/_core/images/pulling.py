"""Images a host lacks, looked up in their registries before anything is pulled: are they there, how large?"""

from __future__ import annotations

import platform
import shutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks.verdicts import size
from ..errors import SlipwayError
from ..image_references import Reference, parse
from ..refusals import Refusals
from .registry_client import RegistryClient, UnreachableError, client_context

CERTIFICATES = Path("/etc/docker/certs.d")
# Registries tell packed sizes. On disk this project's own images take 2.5 to 2.9 times as much, and the
# packed layers lie beside that while they are unpacked.
UNPACKED = 4
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Lookup:
    """What a registry says of a reference. there: None where it could not be asked, and the pull will tell.

    layers: packed bytes by digest, so that what images share is counted once.
    """

    reference: str
    there: bool | None
    layers: Mapping[str, int] = field(default_factory=dict)


def look_up(references: Sequence[str], ask: Callable[[Reference], Mapping[str, Any] | None]) -> list[Lookup]:
    """`ask` is `manifest_of` but for tests."""
    if not references:
        return []
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda reference: _one(reference, ask), references))


def _one(reference: str, ask: Callable[[Reference], Mapping[str, Any] | None]) -> Lookup:
    try:
        manifest = ask(parse(reference))
    except (UnreachableError, ValueError):
        return Lookup(reference, None)
    layers = (manifest or {}).get("layers", ())
    return Lookup(reference, manifest is not None, {it["digest"]: int(it["size"]) for it in layers})


def packed(lookups: Sequence[Lookup]) -> int:
    """Bytes that pulling all of them transfers, as far as registries told."""
    layers = {digest: size for one in lookups for digest, size in one.layers.items()}
    return sum(layers.values())


def manifest_of(reference: Reference) -> Mapping[str, Any] | None:
    """The manifest for this machine; None when the registry does not have it."""
    folder = CERTIFICATES / reference.registry
    context = client_context(folder) if folder.is_dir() else ssl.create_default_context()
    with RegistryClient(reference.registry, context) as registry:
        found = registry.manifest(reference.repository, reference.digest or reference.tag)
        for entry in (found or {}).get("manifests", ()):
            here = entry.get("platform", {})
            wanted = ARCHITECTURES.get(platform.machine(), platform.machine())
            if (here.get("os"), here.get("architecture")) == ("linux", wanted):
                return registry.manifest(reference.repository, entry["digest"])
        return found


def refuse_absent(lookups: Sequence[Lookup], declared: Mapping[str, str], refusals: Refusals) -> None:
    """`declared`: where in the stack each reference comes from. Only pinned ones must be there already:

    in check mode a tag stands for what is yet to be built.
    """
    for one in lookups:
        if one.there is False and "@" in one.reference:
            where = declared.get(one.reference, "")
            refusals.add(
                "images",
                f"{where + ': ' if where else ''}image {one.reference} is not in its registry",
                "Correct the digest (`docker buildx imagetools inspect <repository>:<tag>` shows the right "
                "one), or push the image",
            )


def check_space(folders: Sequence[Path], minimum: int, lookups: Sequence[Lookup] = ()) -> None:
    """Refuse before the first byte: a host that fills up half-way takes its neighbours' data with it."""
    pulled = packed(lookups)
    needed = minimum + UNPACKED * pulled
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        if free < needed:
            why = f" ({size(pulled)} of packed layers are to be pulled)" if pulled else ""
            raise SlipwayError(
                f"{there} has {size(free)} free, {size(needed)} are needed to prepare a release{why}",
                "Free space there (`docker system df`, `docker image prune`) or set minimum_free lower",
            )
