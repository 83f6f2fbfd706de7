"""What the backup host remembers of backups and their proofs, and tells the monitoring."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .backup_info import KINDS, UNREADABLE, Backup, Info

STATE = "state/backups"
METRICS = "state/metrics/backup.prom"
NEWEST = f"{STATE}/newest.json"
KEEP = 400


@dataclass(frozen=True)
class Check:
    """One thing that a proof looked at."""

    name: str
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True)
class Verification:
    """One proof of a backup. Times are ISO 8601 in UTC.

    rpo: age in seconds of the newest transaction in the restored copy when the proof began.
    rto: seconds from the first byte restored until the copy answered.
    Both are None where it did not come so far; so is `newest`.
    """

    id: str
    begun: str
    ended: str
    repository: int
    backup: str
    ok: bool
    newest: str | None
    rpo: float | None
    rto: float | None
    bytes: int
    checks: tuple[Check, ...]

    @property
    def problems(self) -> list[str]:
        return [f"{check.name}: {check.detail}" for check in self.checks if not check.ok]

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Verification:
        return cls(**{**told, "checks": tuple(Check(**check) for check in told["checks"])})


@dataclass(frozen=True)
class LastRun:
    """How the last attempt at a backup went; seconds: what it took."""

    begun: str
    kind: str
    ok: bool
    seconds: float
    reason: str = ""


class Reports:
    """The folder of one stack on its backup host. A reader never finds half of a file."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def record_run(self, run: LastRun) -> None:
        self._write(f"{STATE}/last.json", json.dumps(asdict(run), indent=1) + "\n")

    def last_run(self) -> LastRun | None:
        path = self._root / STATE / "last.json"
        return LastRun(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def record_verification(self, proof: Verification) -> None:
        self._write(f"{STATE}/verifications/{proof.id}.json", json.dumps(proof.to_dict(), indent=1) + "\n")
        for path in sorted((self._root / STATE / "verifications").glob("*.json"))[:-KEEP]:
            path.unlink(missing_ok=True)

    def verifications(self) -> list[Verification]:
        """The oldest first."""
        paths = sorted((self._root / STATE / "verifications").glob("*.json"))
        return [Verification.from_dict(json.loads(path.read_text(encoding="utf-8"))) for path in paths]

    def newest(self) -> dict[int, datetime]:
        """When the newest backup of each repository ended, as far as is known."""
        path = self._root / NEWEST
        told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {int(number): datetime.fromisoformat(ended) for number, ended in told.items()}

    def tell(self, info: Info | None) -> None:
        """What the monitoring reads, and releases. Of a repository that cannot be read, and of all of them
        where nobody can be asked (None), the last word about the newest holds: it grows old, and does not
        vanish."""
        backups = info.backups if info else ()
        silent = {it.number for it in info.repositories if it.code == UNREADABLE} if info else set()
        known = self.newest()
        held = {it: known[it] for it in known if not info or it in silent}
        newest = dict(sorted((held | newest_of_each(backups)).items()))
        told = {number: ended.isoformat() for number, ended in newest.items()}
        self._write(NEWEST, json.dumps(told, indent=1) + "\n")
        proofs = self.verifications()
        lines = metrics(backups, newest, self.last_run(), proofs[-1] if proofs else None)
        self._write(METRICS, "".join(f"{line}\n" for line in lines))

    def _write(self, path: str, text: str) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(target)


def newest_of_each(backups: Iterable[Backup]) -> dict[int, datetime]:
    """Repository -> when its newest backup ended."""
    newest: dict[int, datetime] = {}
    for backup in sorted(backups, key=lambda it: it.ended):
        newest[backup.repository] = backup.ended
    return newest


def metrics(
    backups: Sequence[Backup],
    newest: Mapping[int, datetime],
    last: LastRun | None,
    proof: Verification | None,
) -> Iterable[str]:
    """In Prometheus's text format. What is not known is left out: an alert asks for its absence."""
    for kind in KINDS:
        ended = [backup.ended.timestamp() for backup in backups if backup.kind == kind]
        if ended:
            yield f'slipway_backup_ended_seconds{{type="{kind}"}} {max(ended):.0f}'
    for repository, ended_last in newest.items():
        label = f'{{repository="{repository}"}}'
        yield f"slipway_backup_newest_seconds{label} {ended_last.timestamp():.0f}"
        own = [backup for backup in backups if backup.repository == repository]
        if not own:
            continue
        yield f"slipway_backup_stored_bytes{label} {sum(it.stored for it in own)}"
        yield f"slipway_backups{label} {len(own)}"
    if last:
        yield f"slipway_backup_last_ok {int(last.ok)}"
        yield f"slipway_backup_last_duration_seconds {last.seconds:.1f}"
    if proof:
        yield f"slipway_backup_verification_ok {int(proof.ok)}"
        ended_at = datetime.fromisoformat(proof.ended).timestamp()
        yield f"slipway_backup_verification_seconds {ended_at:.0f}"
        for name, value in (("rpo", proof.rpo), ("rto", proof.rto)):
            if value is not None:
                yield f"slipway_backup_verification_{name}_seconds {value:.1f}"
