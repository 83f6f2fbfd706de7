"""A release's tree of files: a value on the control node, a folder on the host.

/opt/<stack>/releases/<id>/   complete and never edited: docker-compose.prod.yml, config/, migrations/
/opt/<stack>/current          symlink to the release that serves
/opt/<stack>/previous         symlink to the one that served before it
/opt/<stack>/config/          what containers mount; hard links into a release, replaced by rename
/opt/<stack>/state/           what the machinery must remember
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import SlipwayError

# In a release: component and service names to image references.
IMAGES = "images.json"


@dataclass(frozen=True)
class File:
    """One file of a release: path relative to the release's folder, text, mode, owner (uid = gid)."""

    path: str
    content: str
    mode: int
    owner: int

    @property
    def digest(self) -> str:
        identity = f"{self.path}\0{self.mode:o}\0{self.owner}\0{self.content}"
        return hashlib.sha256(identity.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> File:
        return cls(str(values["path"]), str(values["content"]), int(values["mode"]), int(values["owner"]))


def release_id(trees: Mapping[str, Sequence[File]]) -> str:
    """A fingerprint of all hosts' trees: the same input is the same release."""
    lines = sorted(f"{host} {file.digest}" for host, files in trees.items() for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def folder_digest(files: Iterable[File], folder: str) -> str:
    """Fingerprint of the files below one folder; empty when there are none."""
    digests = sorted(file.digest for file in files if file.path.startswith(f"{folder}/"))
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12] if digests else ""


class ReleaseTree:
    """One stack's folder on one host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Read once: what is stored is never edited.
        self._stored: dict[str, list[File]] = {}

    def release(self, release: str) -> Path:
        return self.root / "releases" / release

    @property
    def current(self) -> str | None:
        """Id of the release that serves; None before the first."""
        return self._linked("current")

    @property
    def previous(self) -> str | None:
        """Id of the release that served before the current one."""
        return self._linked("previous")

    def staged(self, release: str) -> list[File]:
        """What is stored of a release, read back from disk; empty when it is not there."""
        if not self._stored.get(release):
            folder = self.release(release)
            self._stored[release] = [
                read_file(folder, path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.name != "record.json"
            ]
        return self._stored[release]

    def stage(self, release: str, files: Sequence[File]) -> bool:
        """Write a release completely or not at all; True when the disk was not already so."""
        if {file.digest for file in self.staged(release)} == {file.digest for file in files}:
            return False
        target = self.release(release)
        partial = target.with_name(f".{release}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        for file in files:
            write_file(partial / file.path, file)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        self._stored.pop(release, None)
        return True

    def bring_live(self, release: str, folder: str) -> None:
        """Let containers see a release's configuration folder: file by file, by rename, removals last."""
        source, live = self.release(release) / folder, self.root / folder
        names = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        for name in sorted(names):
            _link(source / name, live / name)
        for path in sorted(live.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(live) not in names:
                path.unlink()

    def live_digest(self, folder: str) -> str:
        """Fingerprint of what containers see now in a folder."""
        live = self.root / folder
        found = [read_file(self.root, path) for path in sorted(live.rglob("*")) if path.is_file()]
        return folder_digest(found, folder)

    def applied(self) -> dict[str, str]:
        """Fingerprint of the configuration that each service has loaded."""
        path = self.root / "state" / "applied.json"
        if not path.exists():
            return {}
        loaded: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return loaded

    def set_applied(self, service: str, digest: str | None) -> None:
        """Remember (None: forget) what a service has loaded; after the fact, so a crash means once more."""
        known = {name: value for name, value in self.applied().items() if name != service}
        if digest is not None:
            known[service] = digest
        text = json.dumps(known, indent=1, sort_keys=True)
        write_file(self.root / "state/applied.json", File("state/applied.json", text, 0o644, os.geteuid()))

    def make_current(self, release: str) -> bool:
        if self.current == release:
            return False
        if self.current:
            self._link("previous", self.current)
        self._link("current", release)
        return True

    def _linked(self, name: str) -> str | None:
        link = self.root / name
        return link.resolve().name if link.is_symlink() else None

    def _link(self, name: str, release: str) -> None:
        fresh = self.root / f".{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"releases/{release}")
        fresh.rename(self.root / name)

    def releases(self) -> list[str]:
        """Ids of the stored releases, the newest first."""
        folders = [
            path for path in (self.root / "releases").iterdir() if path.is_dir() and path.name[0] != "."
        ]
        return [path.name for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)]

    def oldest(self, keep: int, protected: Collection[str] = ()) -> list[str]:
        """All but the newest releases, the current and the previous one and those that are protected."""
        kept = {self.current, self.previous, *protected}
        return [release for release in self.releases()[keep:] if release not in kept]

    def forget(self, release: str) -> None:
        self._stored.pop(release, None)
        shutil.rmtree(self.release(release))


def differing(folder: Path, files: Iterable[File]) -> list[str]:
    """Paths below a folder that are not as these files say, those of files that are too many included.

    What Python has compiled there is its own affair.
    """
    wanted = {file.path: file.digest for file in files}
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    there = {path.relative_to(folder).as_posix(): path for path in found}
    return sorted(
        path
        for path in {*wanted, *there}
        if path not in there or wanted.get(path) != read_file(folder, there[path]).digest
    )


def lay(folder: Path, files: Iterable[File]) -> None:
    """Make a folder hold these files and nothing else: each by rename, removals last."""
    wanted = {file.path: file for file in files}
    changed = differing(folder, wanted.values())
    for path in changed:
        if path in wanted:
            write_file(folder / path, wanted[path])
    for path in changed:
        if path not in wanted:
            (folder / path).unlink()


def read_file(folder: Path, path: Path) -> File:
    status = path.stat()
    content = path.read_text(encoding="utf-8")
    return File(path.relative_to(folder).as_posix(), content, status.st_mode & 0o777, status.st_uid)


def write_file(target: Path, file: File) -> None:
    """Write by rename: a reader sees the old file or the new one; a secret is never readable meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(file.content)
        os.chown(fresh, file.owner, file.owner)
        fresh.chmod(file.mode)
        fresh.rename(target)
    except OSError as error:
        raise SlipwayError(
            f"{target} cannot be written: {error.strerror}", "Check space and permissions there"
        ) from error


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return  # rename() between two names of one file does nothing and would leave the temporary name
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    os.link(source, fresh)
    fresh.rename(target)
