"""Everything that can be known of a release before it begins, asked on one host; every reason is kept.

A check is a row of `KNOWN` (needs nothing on the host, so check mode asks it too) or of `STORED` (needs the
release's files and images). Signatures and SBOMs of images will get their seat in `STORED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..backup import backup_age
from ..docker.engine import Engine
from ..images.pulling import Lookup, check_space, look_up, manifest_of, refuse_absent
from ..refusals import CURES, Refusals
from ..tree import File
from . import relied_on
from .host_release import HostRelease
from .plan import Step


@dataclass(frozen=True)
class Told:
    """What the control node tells of the environment.

    minimum_free: bytes. images: reference -> its path in the stack. leaders: see `relied_on.look`.
    routers: this host's own, by component. backup_age: how old the newest backup may be; None: nobody asks.
    """

    minimum_free: int
    images: Mapping[str, str]
    leaders: Mapping[str, Sequence[Mapping[str, Any]]]
    routers: Mapping[str, Mapping[str, Any]]
    backup_age: timedelta | None = None


@dataclass
class Preparation:
    """One host, and what is known of its way to the release so far."""

    root: Path
    engine: Engine
    host: HostRelease
    files: Sequence[File]
    told: Told
    refusals: Refusals = field(default_factory=Refusals)
    steps: Sequence[Step] = ()
    missing: Sequence[str] = ()
    lookups: Sequence[Lookup] = ()


Check = Callable[[Preparation], None]


def _images(it: Preparation) -> None:
    it.lookups = look_up(it.missing, manifest_of)
    refuse_absent(it.lookups, it.told.images, it.refusals)


def _disk(it: Preparation) -> None:
    folders = [it.root / "releases", *([Path(it.engine.image_folder())] if it.missing else [])]
    check_space(folders, it.told.minimum_free, it.lookups)


def _configuration(it: Preparation) -> None:
    it.host.check(it.steps, it.refusals)


def _relied_on(it: Preparation) -> None:
    relied_on.look(it.root, it.told.leaders, it.told.routers, it.refusals)


def _backup(it: Preparation) -> None:
    if it.told.backup_age is not None:
        backup_age.look(it.root, it.told.backup_age, datetime.now(UTC))


KNOWN: tuple[tuple[str, Check], ...] = (
    ("images", _images),
    ("disk", _disk),
    ("relied on", _relied_on),
    ("backup", _backup),
)
STORED: tuple[tuple[str, Check], ...] = (("configuration", _configuration),)
# What does not keep a release from being stored: another host may know that it is the cure.
HARMLESS = frozenset(CURES)


def prepare(it: Preparation, *, checked: bool, dry: bool) -> None:
    """Plan, check, and (not dry) store the release and pull its images. Nothing that runs is touched.

    checked: False where the release has begun, and only how far it came is asked.
    """
    with it.refusals.of("definition"):
        it.steps = it.host.preview(it.files)
        it.missing = it.host.missing_images(it.files) if it.steps else ()
    asked = checked and bool(it.steps)
    _ask(KNOWN if asked and _well(it) else (), it)
    if dry or not _well(it):
        return
    it.host.store(it.files)
    with it.refusals.of("images"):
        it.engine.pull(it.missing)
    _ask(STORED if asked and _well(it) else (), it)


def _well(it: Preparation) -> bool:
    return all(reason.check in HARMLESS for reason in it.refusals.found)


def _ask(checks: Sequence[tuple[str, Check]], it: Preparation) -> None:
    for name, check in checks:
        with it.refusals.of(name):
            check(it)
