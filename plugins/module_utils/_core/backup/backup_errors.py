"""What pgBackRest's failures mean, and what to do: a decision, pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SlipwayError

# Exit statuses of pgBackRest.
LOCKED = 50
MISMATCH = 28
# Of a process that SIGKILL ended. After SIGTERM pgBackRest says so itself.
KILLED = 137


class LockedError(SlipwayError):
    """Another pgBackRest holds the lock; it passes by itself."""


@dataclass(frozen=True)
class _Sign:
    """A pattern in what was said (or one of the exit statuses), and what it means."""

    pattern: str
    codes: tuple[int, ...]
    problem: str
    remedy: str


# The last is all that pgBackRest says where a file is cut short, in the midst of recovery too.
FULL_DISK = r"No space left on device|Disk quota exceeded|FileWriteError\]?:? unable to write"
_SIGNS: Sequence[_Sign] = (
    _Sign(
        FULL_DISK,
        (),
        "the disk is full",
        "Make room there (`df -h`), or keep fewer backups: stack/components/backup/keep_days",
    ),
    # Before the next: pgBackRest calls both a CryptoError.
    _Sign(
        r"Authentication|is not authorized|certificate verify failed|unable to verify certificate"
        r"|tls.*(?:alert|handshake)",
        (105,),
        "a host does not trust the other's certificate",
        "Deploy, so that all hosts get certificates of the same authority; where it is a second place's, put "
        "its CA into /usr/local/share/ca-certificates on the host that keeps the backups, and run "
        "update-ca-certificates there",
    ),
    _Sign(
        r"key/value found outside of section|No usable backup\.info file|CryptoError"
        r"|cipher header (?:missing|invalid)|unable to flush cipher",
        (95,),
        "the repository cannot be decrypted: `platform/backup_cipher` of the secrets file is not the key "
        "that it was made with",
        "Put the old key back with ansible-vault edit and deploy; no backup can be read without it",
    ),
    _Sign(
        r"unable to (?:acquire|get) lock",
        (LOCKED,),
        "another backup is at work",
        "Wait until it has ended: `pgbackrest info` says how far it is",
    ),
    _Sign(
        r"checksum (?:mismatch|error)|error restoring .*: actual checksum|ChecksumError",
        (26,),
        "a file of the repository is damaged: its checksum is wrong",
        "Take a full backup now (playbooks/backup.yml -e type=full), restore from another repository or "
        "an older backup, and have the disk checked",
    ),
    _Sign(
        r"timed out|archive_timeout|WAL segment .* was not archived",
        (82,),
        "WAL does not reach the repository",
        "See why on the leader: `docker logs` of its postgres container, lines with `archive`",
    ),
    _Sign(
        r"do(?:es)? not match the database|stanza .* mismatch",
        (MISMATCH, 44, 51, 58),
        "the repository belongs to another database cluster",
        "If this one shall take its place: playbooks/backup.yml -e adopt=true; old backups are kept",
    ),
    _Sign(
        r"unable to find primary|HostInvalidError|no database found",
        (56, 72),
        "no primary can be reached from the repository",
        "See `patronictl list`, and that the containers backup-agent run",
    ),
    _Sign(
        r"unable to connect|HostConnectError|Connection refused|No route to host",
        (49,),
        "a host cannot be reached",
        "See that the containers backup-agent and backup-repository run, and that the hosts reach each other",
    ),
    _Sign(
        r"has a stanza-create been performed|missing stanza",
        (55,),
        "the repository has no stanza, or lost files of it",
        "Run playbooks/backup.yml, which makes it; if it was there, see the disk of the backup host",
    ),
    _Sign(
        r"(?!)",  # whoever is killed says nothing
        (KILLED,),
        "it was killed",
        "Run this again, which begins anew. If nobody killed it, memory may have been short: `journalctl -k`",
    ),
    _Sign(
        r"no backup set found|backup set .* is not valid|no prior backup",
        (75,),
        "there is no backup to restore",
        "See `pgbackrest info`; for a moment in the past, name one after the end of the oldest backup",
    ),
)


def explain(what: str, code: int, told: str) -> SlipwayError:
    """The error to raise: its cause where it is known, and pgBackRest's own words."""
    words = _words(told) or f"exit status {code}"
    for sign in _SIGNS:
        if re.search(sign.pattern, told, re.IGNORECASE):
            return _error(what, sign, words)
    for sign in _SIGNS:
        if code in sign.codes:
            return _error(what, sign, words)
    return SlipwayError(f"{what}: {words}", "Correct what pgBackRest names, then run this again")


def _error(what: str, sign: _Sign, words: str) -> SlipwayError:
    kind = LockedError if LOCKED in sign.codes else SlipwayError
    return kind(f"{what}: {sign.problem} ({words})", sign.remedy)


def _words(told: str) -> str:
    """The first error, without time stamps and without what decryption made of it."""
    # An image without libeatmydata is no error of pgBackRest's.
    lines = [line for line in told.splitlines() if line.strip() and not line.startswith("ERROR: ld.so:")]
    # What it warns of comes before the error, and often has nothing to do with it.
    worst = (line for level in ("ERROR|FATAL|PANIC", "WARN") for line in lines if re.search(level, line))
    line = next(worst, lines[-1] if lines else "")
    text = re.sub(r"^[\d-]+ [\d:.]+ P\d+\s+(?:ERROR|WARN|INFO): ", "", line.strip())
    return "".join(letter for letter in text if letter.isascii() and letter.isprintable())[:300]
