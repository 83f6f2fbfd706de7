"""What a release defines on a host, as Compose reads it: fingerprints of its services and configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..docker.compose_file import COMPOSE_FILE
from ..docker.engine import Engine
from ..tree import File, ReleaseTree, folder_digest, write_file
from .plan import Unit


class Definitions:
    """Fingerprints of what the units of a host are in any release."""

    def __init__(self, engine: Engine, tree: ReleaseTree, units: Sequence[Unit]) -> None:
        self._engine = engine
        self._tree = tree
        self.units: Mapping[str, Unit] = {unit.name: unit for unit in units}
        # Of stored releases, which nobody edits: each question costs a start of Compose.
        self._hashes: dict[str, dict[str, str]] = {}

    @property
    def services(self) -> set[str]:
        return {unit.service for unit in self.units.values() if unit.service}

    def of(self, files: Sequence[File], release: str) -> dict[str, tuple[str, str]]:
        """Compose's fingerprint and that of the configuration of every service in a release."""
        if not files:
            return {}
        with self.file(files, release) as path:
            hashes = self.hashes(path)
        return {name: (hashes[name], self.config(name, files)) for name in self.units if name in hashes}

    @contextmanager
    def file(self, files: Sequence[File], release: str) -> Iterator[str]:
        """The Compose file of a release: where it is stored, or a passing copy of one that is not."""
        wanted = next(file for file in files if file.path == COMPOSE_FILE)
        stored = self._tree.release(release) / COMPOSE_FILE
        if stored.exists() and stored.read_text(encoding="utf-8") == wanted.content:
            yield str(stored)
            return
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            copy = Path(folder) / COMPOSE_FILE
            write_file(copy, wanted)
            yield str(copy)

    def hashes(self, compose_file: str) -> dict[str, str]:
        if compose_file not in self._hashes:
            self._hashes[compose_file] = self._engine.service_hashes(compose_file)
        return self._hashes[compose_file]

    def config(self, service: str, files: Sequence[File]) -> str:
        folder = self.units[service].folder
        return folder_digest(files, folder) if folder else ""
