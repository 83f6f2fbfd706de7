"""Folders that images are built from: read, fingerprinted and packed the same way on every control node."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SlipwayError

# A Dockerfile with this line stands on the environment's base image.
_TAKES_BASE = re.compile(rb"^\s*ARG\s+BASE\b", re.MULTILINE)

# Never part of an image: what interpreters, tools and version control leave behind.
ALWAYS_IGNORED = tuple(f"**/{name}" for name in ("__pycache__", "*.pyc", ".git", ".*_cache"))

RECIPES = ("Dockerfile", "build.sh")


@dataclass(frozen=True)
class SourceFile:
    """One file of a build context. Modes are 0644 or 0755, so that a control node's umask changes nothing."""

    path: str
    content: bytes
    executable: bool


@dataclass(frozen=True)
class Source:
    """One image to build: its repository in the registry and everything that its content depends on."""

    name: str
    repository: str
    files: tuple[SourceFile, ...]
    arguments: Mapping[str, str]
    on_base: bool

    @property
    def digest(self) -> str:
        """Fingerprint of files, modes and build arguments; the base's is one of these."""
        told = hashlib.sha256()
        for file in self.files:
            content = hashlib.sha256(file.content).hexdigest()
            told.update(f"{file.path}\0{int(file.executable)}\0{content}\n".encode())
        for name, value in sorted(self.arguments.items()):
            told.update(f"{name}={value}\n".encode())
        return told.hexdigest()

    @property
    def tag(self) -> str:
        return self.digest[:12]

    @property
    def local(self) -> str:
        """The image's name in the builder's engine."""
        return f"{self.repository}:{self.tag}"


def read_source(name: str, repository: str, folder: Path, arguments: Mapping[str, str], base: str) -> Source:
    """Read a build folder; `base` is given to a Dockerfile that says `ARG BASE`."""
    files = read_folder(folder)
    if not any(file.path in RECIPES for file in files):
        raise SlipwayError(
            f"{folder} holds no Dockerfile", "Add one, or name an image instead of a folder to build"
        )
    on_base = any(file.path == "Dockerfile" and _TAKES_BASE.search(file.content) for file in files)
    given = {**arguments, **({"BASE": base} if on_base else {})}
    return Source(name, repository, files, given, on_base)


def read_folder(folder: Path) -> tuple[SourceFile, ...]:
    """Every file that a build may see, in a fixed order; what `.dockerignore` names is left out."""
    if not folder.is_dir():
        raise SlipwayError(
            f"build folder {folder} does not exist", "Correct the path; it is relative to the checkout"
        )
    ignore_file = folder / ".dockerignore"
    lines = ignore_file.read_text(encoding="utf-8").splitlines() if ignore_file.is_file() else []
    ignored = Ignored([*ALWAYS_IGNORED, *lines])
    # As with Docker, ignoring the recipe keeps it out of COPY's sight only.
    return tuple(
        _read(folder, path) for path in _files(folder) if path in RECIPES or not ignored.covers(path)
    )


def pack(source: Source) -> bytes:
    """The build context as a compressed tar, byte for byte the same for the same source."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in source.files:
            entry = tarfile.TarInfo(file.path)
            entry.size = len(file.content)
            entry.mode = 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(file.content))
    return gzip.compress(buffer.getvalue(), mtime=0)


class Ignored:
    """Docker's `.dockerignore` rules: the last matching line decides, `!` takes a path in again."""

    def __init__(self, lines: Sequence[str]) -> None:
        stripped = [line.strip() for line in lines]
        rules = [line for line in stripped if line and not line.startswith("#")]
        self._rules = [(not rule.startswith("!"), _expression(rule.lstrip("!").strip())) for rule in rules]

    def covers(self, path: str) -> bool:
        verdict = False
        for ignore, expression in self._rules:
            if expression.match(path):
                verdict = ignore
        return verdict


def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression that also matches everything below what it names."""
    told = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|[^*?\[]+|\[", pattern.strip("/").removeprefix("./")):
        if part in ("**/", "**"):
            told += "(?:.*/)?" if part == "**/" else ".*"
        elif part in ("*", "?"):
            told += "[^/]*" if part == "*" else "[^/]"
        else:
            told += part if part.startswith("[") and len(part) > 1 else re.escape(part)
    return re.compile(f"{told}(?:/.*)?$")


def _files(folder: Path) -> Iterator[str]:
    found = []
    for root, folders, names in os.walk(folder):
        inside = Path(root).relative_to(folder)
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found += [(inside / name).as_posix() for name in [*names, *links]]
    return iter(sorted(found))


def _read(folder: Path, path: str) -> SourceFile:
    place = folder / path
    if place.is_symlink() and not place.resolve().is_relative_to(folder.resolve()):
        raise SlipwayError(f"{place} is a link out of its build folder", "Copy the file into the folder")
    if not place.is_file():
        raise SlipwayError(
            f"{place} is neither a file nor a link to one", "Name it in .dockerignore or remove it"
        )
    return SourceFile(path, place.read_bytes(), bool(place.stat().st_mode & 0o100))
