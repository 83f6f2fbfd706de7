"""When which backup is due, and what a stanza needs: decisions, pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import SlipwayError
from .backup_info import DIFFERENTIAL, FULL, INCREMENTAL, KINDS, NO_STANZA, Backup, Info
from .backup_wal import Line, bytes_of, timeline

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CREATE, UPGRADE, NOTHING = "stanza-create", "stanza-upgrade", ""


@dataclass(frozen=True)
class Schedule:
    """at: HH:MM, UTC. every: hours. full_on: a day of the week."""

    at: str
    every: int
    full_on: str

    def daily(self, now: datetime) -> datetime:
        """The last moment for a day's backup that has passed."""
        hour, minute = map(int, self.at.split(":"))
        today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today <= now else today - timedelta(days=1)

    def weekly(self, now: datetime) -> datetime:
        daily = self.daily(now)
        return daily - timedelta(days=(daily.weekday() - DAYS.index(self.full_on)) % 7)

    def latest(self, now: datetime) -> datetime:
        pace = timedelta(hours=self.every)
        return self.daily(now) + (now - self.daily(now)) // pace * pace


def calendar(at: str, every: str) -> str:
    """The same times in the words of systemd's OnCalendar. every: `24h`, `4h` …"""
    hour, minute = map(int, at.split(":"))
    pace = int(every.removesuffix("h"))
    hours = ",".join(f"{it:02}" for it in sorted((hour + step) % 24 for step in range(0, 24, pace)))
    return f"*-*-* {hours}:{minute:02}:00 UTC"


@dataclass(frozen=True)
class Server:
    """What a member says of its cluster. version: as PostgreSQL counts, 170006 for 17.6."""

    system_id: str
    version: int

    @property
    def major(self) -> str:
        return str(self.version // 10_000)


def due(schedule: Schedule, backups: Sequence[Backup], now: datetime) -> str:
    """The kind of backup to make now, "" if none: what was missed is made up for, however it was missed."""
    since = {kind: _latest(backups, KINDS[: index + 1]) for index, kind in enumerate(KINDS)}
    slots = {
        FULL: schedule.weekly(now),
        DIFFERENTIAL: schedule.daily(now),
        INCREMENTAL: schedule.latest(now),
    }
    for kind in KINDS:
        begun = since[kind]
        if begun is None or begun < slots[kind]:
            return kind
    return ""


def _latest(backups: Sequence[Backup], kinds: Sequence[str]) -> datetime | None:
    return max((backup.begun for backup in backups if backup.kind in kinds), default=None)


def stanza_step(info: Info, server: Server, *, adopt: bool = False) -> str:
    """The pgBackRest command that the repositories need before the next backup; NOTHING if none.

    A repository of another cluster is refused unless it is to be taken over: somebody's backups are in it.
    """
    lacking = [it for it in info.repositories if it.code in NO_STANZA]
    if not info.repositories or (lacking and not info.system_id):
        return CREATE
    if info.system_id and info.version != server.major:
        return UPGRADE
    if info.system_id and info.system_id != server.system_id:
        if adopt:
            return UPGRADE
        raise SlipwayError(
            f"the repository belongs to database cluster {info.system_id}, and {server.system_id} runs now",
            "Restore (playbooks/restore.yml), or let this one take its place, where old backups are kept: "
            "playbooks/backup.yml -e adopt=true",
        )
    return CREATE if lacking else NOTHING


def age(backups: Sequence[Backup], now: datetime) -> float | None:
    """Seconds since the newest backup ended; None without one."""
    ended = max((backup.ended for backup in backups), default=None)
    return (now - ended).total_seconds() if ended else None


def on_line(backups: Sequence[Backup], line: Line) -> list[Backup]:
    """Those that recovery along a timeline can begin with; others ended on one that was left before."""
    return [it for it in backups if line.holds(timeline(it.wal_stop), bytes_of(it.lsn))]


def newest(backups: Sequence[Backup]) -> Backup:
    if not backups:
        raise SlipwayError("the repository holds no backup", "Take one: playbooks/backup.yml")
    return max(backups, key=lambda backup: backup.ended)
