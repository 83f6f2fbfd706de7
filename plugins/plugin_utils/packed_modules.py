"""Keep the packages that Ansible makes of modules from one run to the next.

A module travels to its hosts in a package with all that it imports. Ansible finds that out anew in every
run, by compiling some sixty files for each kind of module: a second each, while everybody waits. Packages of
its own modules and of this collection's are kept in ~/.cache/slipway, under a name that follows from all they
are made of. Where a newer Ansible has its packages elsewhere, nothing is lost (docs/decisions/0022).
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path

import ansible
from ansible import constants, release

# What `state` names the sources of; other collections' modules are not kept.
_KNOWN = ("ansible.modules.*", "ansible_collections.slipway.compose.plugins.modules.*")
_PLUGINS = Path(__file__).resolve().parents[1]
# Checkouts that take turns, and upgrades: the packages of so many states of the sources are kept.
_STATES = 4


def unpack_known(cache: Path | None = None, run: Path | None = None) -> None:
    """Give this run the packages of earlier ones. Nothing here is worth a failed run."""
    kept, run = cache or _cache(), run or _run()
    with suppress(OSError):
        run.mkdir(exist_ok=True)
        for package in _packages(kept):
            _copy(package, run / package.name)
        if kept.is_dir():
            os.utime(kept)


def keep(cache: Path | None = None, run: Path | None = None) -> None:
    """Keep the packages that this run has made, for the next one."""
    kept, run = cache or _cache(), run or _run()
    with suppress(OSError):
        made = [package for package in _packages(run) if not (kept / package.name).exists()]
        if not made:
            return
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        for package in made:
            _copy(package, kept / package.name)
        _forget(kept.parent)


def state(plugins: Path) -> str:
    """A name for all that a package is made of: the sources of modules, and the Ansible that packs them."""
    found = hashlib.sha256(f"{ansible.__file__} {release.__version__} {platform.python_version()}".encode())
    for folder in ("modules", "module_utils"):
        for source in sorted((plugins / folder).rglob("*.py")):
            found.update(f"\0{source.relative_to(plugins)}\0".encode())
            found.update(source.read_bytes())
    return found.hexdigest()[:16]


def _packages(folder: Path) -> list[Path]:
    """Without those that are being made, and the locks of those who make them."""
    found = [package for pattern in _KNOWN for package in folder.glob(pattern)]
    return [package for package in found if not package.name.endswith((".lock", "-part"))]


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all: others read it meanwhile."""
    if target.exists():
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, draft)
    draft.rename(target)


def _forget(folder: Path) -> None:
    states = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for stale in states[_STATES:]:
        shutil.rmtree(stale, ignore_errors=True)


@functools.cache
def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "slipway/modules" / state(_PLUGINS)


def _run() -> Path:
    return Path(str(vars(constants)["DEFAULT_LOCAL_TMP"])) / "ansiballz_cache"
