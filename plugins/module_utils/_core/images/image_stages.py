"""The three things a builder is asked: what is missing, build it, how far is it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import SlipwayError
from ..host_job import detach
from ..image_references import parse
from ..run import Run
from ..tree import File, write_file
from .image_builder import ImageBuilder, Item, Shell
from .image_catalog import BASE
from .image_job import ImageJob, Order, Workshop
from .image_tools import building_client, lacking_packages
from .registry_client import RegistryClient, UnreachableError, client_context, resolve
from .registry_host import TRUST_FOLDER, Identity, changed_files, trust_files, write_files

# How long one `follow` waits for news before it says that there are none.
PATIENCE = 15.0


@dataclass(frozen=True)
class Site:
    """The builder: where it works, which registry it fills and how it identifies itself there."""

    address: str
    identity: Identity
    folder: Path
    trust: Path = TRUST_FOLDER
    owner: int = 0

    @property
    def certificates(self) -> Path:
        return self.trust / self.address


@dataclass(frozen=True)
class Comparison:
    """What is where.

    present: name -> digest in the registry. building: what of the missing the builder's engine lacks too.
    packages: to be installed on the builder first. resolved: upstream reference -> pinned by digest.
    """

    present: Mapping[str, str]
    missing: tuple[str, ...]
    building: tuple[str, ...]
    packages: tuple[str, ...]
    resolved: Mapping[str, str]
    remarks: tuple[str, ...]


def trust_registry(site: Site) -> bool:
    """Let the builder's engine and this client know the registry; True when files were written."""
    changed = changed_files(site.certificates, trust_files(site.identity, site.owner))
    write_files(site.certificates, changed)
    return bool(changed)


def trusts_registry(site: Site) -> bool:
    return not changed_files(site.certificates, trust_files(site.identity, site.owner))


def in_registry(site: Site, items: Sequence[Item]) -> dict[str, str]:
    """Name -> digest of those images that the registry has."""
    with RegistryClient(site.address, client_context(site.certificates)) as registry:
        registry.check()
        digests = {item.name: registry.digest(item.repository, item.tag) for item in items}
    return {name: digest for name, digest in digests.items() if digest}


def in_engine(run: Run, items: Sequence[Item]) -> set[str]:
    """Names of those images that the builder's engine has."""
    if not items or shutil.which("docker") is None:
        return set()
    code, out, err = run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])
    if code:
        raise SlipwayError(
            f"no Docker engine answers on the machine that builds images: {err.strip()}",
            "Start it there (`systemctl start docker`), or set images_builder to a host that has one",
        )
    there = set(out.split())
    return {item.name for item in items if item.local in there}


def at_builder(site: Site, items: Sequence[Item], archive: str | None, run: Run) -> dict[str, str]:
    """Those that need not be made when images stay here; the base only matters while another is missing."""
    held = in_engine(run, items)
    if archive and not any(archive_path(site, item).exists() for item in items if item.name == archive):
        held.discard(archive)
    complete = all(item.name in held for item in items if item.name != BASE)
    return dict.fromkeys([item.name for item in items if complete or item.name in held], "")


def archive_path(site: Site, item: Item) -> Path:
    return Workshop(site.folder).archive(item)


def compare(
    items: Sequence[Item],
    present: Mapping[str, str],
    upstream: Sequence[str],
    site: Site,
    run: Run,
    *,
    preview: bool,
) -> Comparison:
    """What has to be done; `present` is what the registry already has of it."""
    missing = [item for item in items if item.name not in present]
    held = in_engine(run, missing)
    building = tuple(item.name for item in missing if item.name not in held)
    memory = Memory(site.folder / "upstream.json")
    resolved, warnings = pin_upstream(upstream, memory.read(), resolve_now)
    packages: tuple[str, ...] = ()
    if not preview:
        memory.add(resolved)
        packages = tuple(lacking_packages(run, building))
    return Comparison(
        present, tuple(item.name for item in missing), building, packages, resolved, tuple(warnings)
    )


def start_job(order: Order, contexts: Mapping[str, str], site: Site, timeout: int, run: Run) -> bool:
    """Start the job; False when another one has the workshop, which is then to be followed first."""
    workshop = Workshop(site.folder)
    client = building_client(run)
    if client is None:
        raise SlipwayError(
            "the builder's Docker client cannot build", "Install the package docker-buildx there"
        )
    claim = workshop.open()
    if claim is None:
        return False
    workshop.clear()
    for name, context in contexts.items():
        workshop.unpack(name, context)
    builder = ImageBuilder(client, Shell(time.time() + timeout), workshop.logs, site.address)
    detach(ImageJob(order, builder, workshop).work, workshop.logs / "job.log")
    os.close(claim)  # the job holds its own copy
    return True


def resolve_now(reference: str) -> str | None:
    """The reference with the digest that its tag has now; None when its registry does not know the tag."""
    parsed = parse(reference)
    digest = resolve(parsed)
    return parsed.pinned(digest) if digest else None


class Memory:
    """The last answers of upstream registries: one that is away must not change what hosts run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_text(encoding="utf-8"))) if self._path.exists() else {}

    def add(self, resolved: Mapping[str, str]) -> None:
        known = self.read()
        if not resolved.items() <= known.items():
            text = json.dumps({**known, **resolved}, indent=1, sort_keys=True)
            write_file(self._path, File(self._path.name, text, 0o644, os.geteuid()))


def pin_upstream(
    references: Sequence[str], known: Mapping[str, str], ask: Callable[[str], str | None]
) -> tuple[dict[str, str], list[str]]:
    """References pinned by digest, and what to warn of; `known` answers where a registry does not."""
    tagged = [reference for reference in references if parse(reference).digest is None]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda reference: _asked(reference, ask), tagged))
    pinned, warnings = {}, []
    for reference, (answer, why) in zip(tagged, answers, strict=True):
        if answer or reference in known:
            pinned[reference] = answer or known[reference]
        if not answer:
            used = pinned.get(reference, "the tag as it is")
            warnings.append(f"{reference}: {why}; using {used}")
    return pinned, warnings


def _asked(reference: str, ask: Callable[[str], str | None]) -> tuple[str | None, str]:
    try:
        return ask(reference), "its registry does not know this tag"
    except UnreachableError as error:
        return None, error.problem
