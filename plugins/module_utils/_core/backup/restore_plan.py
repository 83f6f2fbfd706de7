"""To which moment a restore goes, from which backup, and whether it can: decisions, pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import SlipwayError
from .backup_info import Backup, Info
from .backup_report import Verification
from .backup_wal import Line, holes, name, number, segments, spans, timeline
from .backups import newest, on_line

LATEST, MOMENT, POINT, BACKUP = "latest", "moment", "point", "backup"
_LABEL = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")
_POINT = re.compile(r"point:([A-Za-z0-9_.:-]{1,63})")
# What a restore takes beside the databases.
MARGIN = 512 << 20


@dataclass(frozen=True)
class Target:
    """kind: one of the words above; value: the point's name or the backup's label."""

    kind: str
    moment: datetime | None = None
    value: str = ""

    def __str__(self) -> str:
        if self.moment:
            return f"{self.moment:%Y-%m-%d %H:%M:%S.%f} UTC"
        return {
            LATEST: "the newest transaction that was archived",
            POINT: f"the restore point {self.value}",
            BACKUP: f"the end of backup {self.value}",
        }[self.kind]


@dataclass(frozen=True)
class RestorePlan:
    """arguments: of pgBackRest. bytes: that the restored databases have; needed: that the disk must have."""

    backup: str
    repository: int
    arguments: tuple[str, ...]
    bytes: int
    needed: int
    target: str


def estimate(size: int, proofs: Iterable[Verification]) -> float | None:
    """Seconds until a copy of that many bytes answers, going as the last proof went; None without one."""
    for proof in sorted(proofs, key=lambda it: it.begun, reverse=True):
        if proof.rto and proof.bytes:
            return round(proof.rto * size / proof.bytes, 1)
    return None


def parse_target(text: str, now: datetime) -> Target:
    """`latest`, a time of ISO 8601 with its zone, `point:<name>` or a backup's label."""
    if text == LATEST:
        return Target(LATEST)
    if match := _POINT.fullmatch(text):
        return Target(POINT, value=match[1])
    if _LABEL.fullmatch(text):
        return Target(BACKUP, value=text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if not moment or not moment.tzinfo:
        raise SlipwayError(
            f"{text!r} names no moment to return to",
            "Write latest, a time with its zone (2026-11-26T20:15:05Z), point:<name> or a backup's label",
        )
    if moment > now:
        raise SlipwayError(f"{text} has not come yet", "Write an earlier time, or latest")
    return Target(MOMENT, moment.astimezone(UTC))


def plan_restore(
    info: Info,
    files: Mapping[str, float],
    line: Line,
    target: Target,
    *,
    label: str = "",
) -> RestorePlan:
    """Which backup to begin with, and pgBackRest's arguments; SlipwayError says why it cannot be.

    files: of the archive, with their times, seconds since the epoch. line: the timeline to follow.
    label: a backup to begin with. All of `info` is of one repository.
    """
    own = info.backups
    # A backup of another timeline can be named; then its own end is as far as it goes.
    backup = _start(own if target.kind == BACKUP else on_line(own, line), target, label)
    if backup.damaged:
        raise SlipwayError(
            f"pages of backup {backup.label} had a wrong checksum when it was taken",
            "Choose another one: -e set=<label>, see `pgbackrest info`",
        )
    missing = _missing(files, backup, target, line)
    if missing:
        raise SlipwayError(
            f"WAL between backup {backup.label} and {target} is missing: {spans(missing)}",
            "Choose a moment before it, or begin with a later backup: -e set=<label>",
        )
    arguments = [f"--repo={backup.repository}", f"--set={backup.label}", *aim(target)]
    if target.kind != BACKUP:
        # Named also where it is the newest: another may begin meanwhile.
        arguments.append(f"--target-timeline={line.number}")
    return RestorePlan(
        backup.label, backup.repository, tuple(arguments), backup.size, backup.size + MARGIN, str(target)
    )


def _start(backups: Sequence[Backup], target: Target, label: str) -> Backup:
    wanted = target.value if target.kind == BACKUP else label
    if wanted:
        found = next((it for it in backups if it.label == wanted), None)
        if not found:
            known = ", ".join(it.label for it in backups[-5:]) or "none"
            raise SlipwayError(f"there is no backup {wanted}", f"The newest are: {known}")
        if target.moment and found.ended > target.moment:
            raise SlipwayError(
                f"backup {wanted} ended at {found.ended:%Y-%m-%d %H:%M:%S} UTC, after {target}",
                "Begin with an earlier one",
            )
        return found
    if target.moment:
        before = [it for it in backups if it.ended <= target.moment]
        if not before:
            first = min((it.ended for it in backups), default=None)
            since = f"{first:%Y-%m-%d %H:%M:%S} UTC" if first else "never"
            raise SlipwayError(f"no backup is older than {target}", f"The first moment is {since}")
        return newest(before)
    return newest(backups)


def aim(target: Target) -> list[str]:
    """Where pgBackRest is told to stop, and that what is restored then leads."""
    if target.moment:
        where = ["--type=time", f"--target={target.moment:%Y-%m-%d %H:%M:%S.%f}+00"]
    elif target.kind == POINT:
        where = ["--type=name", f"--target={target.value}"]
    elif target.kind == BACKUP:
        where = ["--type=immediate"]
    else:
        return ["--type=default"]
    return [*where, "--target-action=promote"]


def _missing(files: Mapping[str, float], backup: Backup, target: Target, line: Line) -> list[str]:
    """Segments that are missing on the way; for a moment, only those that were written before it."""
    held = segments(files)
    if target.kind == BACKUP:
        there, own = set(held), timeline(backup.wal_stop)
        way = range(number(backup.wal_start), number(backup.wal_stop) + 1)
        return [it for it in (name(own, position) for position in way) if it not in there]
    missing = holes(held, backup.wal_start, line)
    if not target.moment:
        return missing
    times = {segment: time for path, time in files.items() for segment in segments([path])}
    # What another timeline brought later says nothing of this one.
    along = {it: time for it, time in times.items() if name(line.of(number(it)), number(it)) == it}
    reached = [number(it) for it, time in along.items() if time > target.moment.timestamp()]
    # The first segment that arrived later holds the moment, or what follows it.
    return [it for it in missing if not reached or number(it) < min(reached)]
