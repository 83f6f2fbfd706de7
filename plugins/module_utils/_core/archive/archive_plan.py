"""What is archived, deleted and told, and by whom Redis is saved: values and decisions, pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from ..errors import SlipwayError

# The repository of Redis's snapshots: whoever takes them, and wherever they go back.
REDIS = "redis"
FILES = "files"
VOLUME = "volume:"
LATEST = "latest"
# The newest of those that came back from the second place: what was archived since is of a stack made anew.
REFILLED = "refilled"
# restic's exit status where there is no repository yet; before 0.17 only its words tell.
NO_REPOSITORY = 10
_NO_REPOSITORY = "Is there a repository at the following location"
# A file that went is nobody's fault; then restic sums up what it said before.
_NOBODYS_FAULT = ("no such file or directory", "at least one source file could not be read")
# A clock may be a little ahead; a snapshot from further in the future tells nothing about now.
_SKEW = timedelta(hours=1)


def repository_of(host: str) -> str:
    return f"host-{host}"


@dataclass(frozen=True)
class Settings:
    """One host's part. repository: `address:port`. volumes: those it has. redis_port: 0 without a member.

    keeps: the repositories, on the host that has them.
    """

    stack: str
    host: str
    address: str
    repository: str
    keep_days: int
    volumes: tuple[str, ...]
    redis_port: int
    keeps: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Settings:
        return cls(**{**told, "volumes": tuple(told["volumes"]), "keeps": tuple(told["keeps"])})


@dataclass(frozen=True)
class Snapshot:
    """One archive as its repository tells it. original: what it is a copy of, or ""."""

    id: str
    time: datetime
    host: str
    paths: tuple[str, ...]
    original: str = ""

    @property
    def origin(self) -> str:
        """The same for all copies, and for what they are copies of."""
        return self.original or self.id

    @property
    def short(self) -> str:
        return self.id[:8]


def snapshots(repository: str, told: str) -> list[Snapshot]:
    """From `restic snapshots --json`, the oldest first."""
    try:
        found = [
            Snapshot(
                str(it["id"]),
                datetime.fromisoformat(it["time"]),
                str(it["hostname"]),
                tuple(it["paths"]),
                str(it.get("original") or ""),
            )
            for it in json.loads(told) or ()
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SlipwayError(
            f"{repository} holds an archive that is none of ours: {error!r} in what restic tells of it",
            "Find it with `restic snapshots` in the container archive-repository, and forget it there",
        ) from error
    return sorted(found, key=lambda it: it.time)


def chosen(found: Sequence[Snapshot], wanted: str, now: datetime) -> Snapshot:
    """The snapshot to restore. wanted: `latest`, `refilled`, or the beginning of an id."""
    newest_of = {LATEST: _credible(found, now), REFILLED: refilled(found, now)}
    known = newest_of.get(wanted, [it for it in found if it.id.startswith(wanted)])
    if not known or (wanted not in newest_of and len(known) > 1):
        named = ", ".join(f"{it.short} ({it.time:%Y-%m-%d %H:%M})" for it in found[-5:]) or "none"
        raise SlipwayError(f"there is no one archive {wanted!r}", f"The newest there are: {named}")
    return known[-1]


def expired(found: Sequence[Snapshot], keep_days: int, now: datetime) -> list[str]:
    """Ids to delete: by age against our own clock, so that no invented time has others deleted.

    The newest credible one stays however old it is.
    """
    newest = _credible(found, now)[-1:]
    return [it.id for it in found if now - it.time > timedelta(days=keep_days) and it not in newest]


def missing(
    found: Sequence[Snapshot], elsewhere: Sequence[Snapshot], keep_days: int, now: datetime
) -> list[Snapshot]:
    """What is here, is not to be deleted, and is not elsewhere yet."""
    gone, there = expired(found, keep_days, now), {it.origin for it in elsewhere}
    return [it for it in found if it.id not in gone and it.origin not in there]


def refilled(found: Sequence[Snapshot], now: datetime) -> list[Snapshot]:
    """Those that came back from the second place: hosts add no copies."""
    return [it for it in _credible(found, now) if it.original]


def newest(found: Sequence[Snapshot], now: datetime) -> float:
    """When the newest was taken, in seconds since the epoch; 0 where there is none."""
    return max((it.time.timestamp() for it in _credible(found, now)), default=0.0)


def _credible(found: Sequence[Snapshot], now: datetime) -> list[Snapshot]:
    return [it for it in found if it.time <= now + _SKEW]


def saver(address: str, info: Mapping[str, str]) -> str:
    """Who takes Redis's snapshot, as the master at `address` sees it: one of its replicas, if any is well."""
    replicas = [
        dict(part.split("=", 1) for part in told.split(","))
        for name, told in info.items()
        if re.fullmatch(r"slave\d+", name)
    ]
    well = sorted(replica["ip"] for replica in replicas if replica.get("state") == "online")
    return well[0] if well else address


def no_repository(code: int, told: str) -> bool:
    return code == NO_REPOSITORY or _NO_REPOSITORY in told


def unread(told: str) -> list[str]:
    """What restic could not read, of its own words; files that went while it read are nobody's fault."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return [line for line in lines if not any(words in line for words in _NOBODYS_FAULT)]


# A pattern in what was said, what it means, what to do.
Signs = Sequence[tuple[str, str, str]]
_SIGNS: Signs = (
    (
        "repository is already locked",
        "another one works on the same archive",
        "Wait until it has ended, and run this again",
    ),
    (
        "wrong password",
        "the archive cannot be decrypted: `platform/archive_password` of the secrets file is not the one "
        "that it was made with",
        "Put the old one back with ansible-vault edit and deploy; no archive can be read without it",
    ),
    (
        r"No space left on device|insufficient (?:free )?space",
        "the disk is full",
        "Make room on the host that keeps the backups (`df -h`), or keep fewer days: "
        "stack/components/backup/archive/keep_days",
    ),
    (
        r"certificate|tls:",
        "a host does not trust the other's certificate",
        "Deploy, so that all hosts get certificates of the same authority",
    ),
    (
        r"No such container|is not running|connection refused|no route to host|i/o timeout",
        "the repository does not answer",
        "See that the container archive-repository runs on the host that keeps the backups, then deploy",
    ),
)


def explain(what: str, code: int, told: str, signs: Signs = _SIGNS) -> SlipwayError:
    """The error to raise: its cause where it is known, and the tool's own words."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    words = next((line for line in lines if "atal" in line), lines[-1] if lines else f"exit status {code}")[
        :300
    ]
    for pattern, problem, remedy in signs:
        if re.search(pattern, told, re.IGNORECASE):
            return SlipwayError(f"{what}: {problem} ({words})", remedy)
    return SlipwayError(f"{what}: {words}", "Correct what is named, then run this again")


@contextmanager
def together() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Attempts that are each made, also where one before failed; what failed is raised at the end, as one."""
    failed: list[SlipwayError] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except SlipwayError as error:
            failed.append(error)

    yield attempt
    if failed:
        raise SlipwayError("; ".join(error.problem for error in failed), failed[0].remedy)


def last_metrics(what: str, ok: bool, ended: float, seconds: float) -> Iterable[str]:
    label = f'{{what="{what}"}}'
    yield f"slipway_archive_last_ok{label} {int(ok)}"
    yield f"slipway_archive_last_ended_seconds{label} {ended:.0f}"
    yield f"slipway_archive_last_duration_seconds{label} {seconds:.1f}"


def kept_metrics(repository: str, found: Sequence[Snapshot], now: datetime, place: str = "") -> list[str]:
    """When its newest archive was taken (0: never), and how many there are. place: "", or `_second`."""
    label = _label(repository)
    return [
        f"slipway_archive{place}_newest_seconds{label} {newest(found, now):.0f}",
        f"slipway_archives{place}{label} {len(found)}",
    ]


def told_before(repository: str, lines: Iterable[str]) -> list[str]:
    """What was told of it the last time."""
    return [line for line in lines if _label(repository) in line]


def _label(repository: str) -> str:
    return f'{{of="{repository.removeprefix("host-")}"}}'
