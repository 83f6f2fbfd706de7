"""Which backup is due, what a stanza needs, what a failure means: decided alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_errors import (
    LockedError,
    explain,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_info import (
    Backup,
    Info,
    parse_info,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_scratch import (
    recovery_error,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backups import (
    Schedule,
    Server,
    age,
    calendar,
    due,
    stanza_step,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from hypothesis import given
from hypothesis import strategies as st
from made_backups import SUNDAY, backup, info

NIGHTLY = Schedule("02:00", 24, "sunday")
OFTEN = Schedule("02:00", 4, "sunday")
SERVER = Server("77", 170012)
INFO: dict[str, Any] = {
    "archive": [{"database": {"id": 1, "repo-key": 1}, "id": "17-1", "min": f"{1:024X}", "max": f"{9:024X}"}],
    "backup": [
        {
            "archive": {"start": f"{5:024X}", "stop": f"{6:024X}"},
            "database": {"id": 1, "repo-key": 1},
            "error": False,
            "info": {"size": 31080706, "repository": {"delta": 3774168}},
            "label": "20261126-201505F",
            "lsn": {"start": "0/5000028", "stop": "0/6000880"},
            "timestamp": {"start": 1795724105, "stop": 1795724112},
            "type": "full",
        }
    ],
    "db": [{"id": 1, "repo-key": 1, "system-id": 77, "version": "17"}],
    "name": "shop",
    "repo": [{"key": 1, "status": {"code": 0, "message": "ok"}}],
    "status": {"code": 0, "lock": {"backup": {"held": True, "pct-cplt": 42.5}}, "message": "ok"},
}


def test_what_pgbackrest_says_is_read() -> None:
    found = parse_info(json.dumps([INFO]), "shop")
    assert (found.system_id, found.version, found.percent) == ("77", "17", 42.5)
    assert found.repositories[0].newest_wal == f"{9:024X}"
    assert [(it.label, it.kind, it.archive, it.lsn) for it in found.of(1)] == [
        ("20261126-201505F", "full", "17-1", "0/6000880")
    ]


def test_a_repository_without_the_stanza_is_empty() -> None:
    assert parse_info("[]", "shop") == Info((), (), "", "", None)


@pytest.mark.parametrize("text", ["", "{}", '[{"name": "shop"}]', "null"])
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(SlipwayError, match="nobody understands"):
        parse_info(text, "shop")


@pytest.mark.parametrize(
    ("schedule", "backups", "now", "expected"),
    [
        pytest.param(NIGHTLY, [], SUNDAY, "full", id="the-first-is-full"),
        pytest.param(
            NIGHTLY, [backup("full", SUNDAY - timedelta(days=7))], SUNDAY, "full", id="full-on-its-day"
        ),
        pytest.param(NIGHTLY, [backup("full", SUNDAY)], SUNDAY + timedelta(minutes=3), "", id="made-already"),
        pytest.param(
            NIGHTLY, [backup("full", SUNDAY)], SUNDAY + timedelta(days=1), "diff", id="differential-every-day"
        ),
        pytest.param(
            NIGHTLY,
            [backup("full", SUNDAY - timedelta(days=7))],
            SUNDAY + timedelta(days=2),
            "full",
            id="a-full-one-that-was-missed-is-made-up-for",
        ),
        pytest.param(
            NIGHTLY, [backup("full", SUNDAY)], SUNDAY + timedelta(hours=9), "", id="none-between"
        ),
        pytest.param(
            OFTEN, [backup("full", SUNDAY)], SUNDAY + timedelta(hours=4), "incr", id="incremental-between"
        ),
        pytest.param(
            OFTEN,
            [backup("full", SUNDAY), backup("incr", SUNDAY + timedelta(hours=20))],
            SUNDAY + timedelta(days=1),
            "diff",
            id="an-incremental-one-is-no-days-backup",
        ),
    ],
)  # fmt: skip
def test_what_is_due(schedule: Schedule, backups: list[Backup], now: datetime, expected: str) -> None:
    assert due(schedule, backups, now) == expected


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]))
def test_a_moment_of_the_schedule_is_never_ahead_and_never_far_behind(moment: datetime, every: int) -> None:
    now, schedule = moment.replace(tzinfo=UTC), Schedule("02:30", every, "wednesday")
    assert timedelta() <= now - schedule.latest(now) < timedelta(hours=every)
    assert timedelta() <= now - schedule.weekly(now) < timedelta(days=7)
    assert schedule.weekly(now).weekday() == 2


@pytest.mark.parametrize(
    ("at", "every", "expected"),
    [
        ("02:00", "24h", "*-*-* 02:00:00 UTC"),
        ("02:30", "4h", "*-*-* 02,06,10,14,18,22:30:00 UTC"),
        ("23:05", "12h", "*-*-* 11,23:05:00 UTC"),
    ],
)
def test_systemd_is_told_the_same_times(at: str, every: str, expected: str) -> None:
    assert calendar(at, every) == expected


@pytest.mark.parametrize(
    ("found", "server", "expected"),
    [
        pytest.param(Info((), (), "", "", None), SERVER, "stanza-create", id="nothing-there"),
        pytest.param(info(code=1, system_id="", version=""), SERVER, "stanza-create", id="no-folder"),
        pytest.param(info(), SERVER, "", id="as-it-should-be"),
        pytest.param(info(code=2), SERVER, "", id="no-backup-yet"),
        pytest.param(info(), Server("78", 180001), "stanza-upgrade", id="a-new-version"),
    ],
)
def test_what_a_stanza_needs(found: Info, server: Server, expected: str) -> None:
    assert stanza_step(found, server) == expected


def test_another_clusters_repository_is_taken_over_with_consent_only() -> None:
    with pytest.raises(SlipwayError, match="belongs to database cluster 77"):
        stanza_step(info(), Server("78", 170012))
    assert stanza_step(info(), Server("78", 170012), adopt=True) == "stanza-upgrade"


def test_the_age_is_that_of_the_newest() -> None:
    made = [backup("full", SUNDAY), backup("diff", SUNDAY - timedelta(days=3))]
    assert age(made, SUNDAY + timedelta(minutes=11)) == 600
    assert age([], SUNDAY) is None


@pytest.mark.parametrize(
    ("code", "told", "expected"),
    [
        (39, "ERROR: [039]: write failed: [28] No space left on device", "the disk is full"),
        (28, "FormatError: key/value found outside of section at line 1: F\udcff", "platform/backup_cipher"),
        (95, "ERROR: [095]: unable to flush", "platform/backup_cipher"),
        (
            95,
            "ERROR: [095]: unable to verify certificate presented by 's3.test:443': [20] unable to "
            "get local issuer certificate\n[CryptoError] on 7 retries",
            "does not trust",
        ),
        (26, "ERROR: [026]: checksum mismatch", "is damaged"),
        (82, "ERROR: [082]: WAL segment 01 was not archived before the 60000ms timeout", "does not reach"),
        (28, "ERROR: [028]: backup info files exist but do not match the database", "another database"),
        (56, "ERROR: [056]: unable to find primary cluster - cannot proceed", "no primary"),
        (49, "ERROR: [049]: unable to connect to '10.0.0.1:8433'", "cannot be reached"),
        (75, "ERROR: [075]: no backup set found to restore", "no backup to restore"),
        (7, "ERROR: [007]: something new", "something new"),
        (7, "", "exit status 7"),
        (137, "P00   INFO: backup command begin 2.55", "it was killed"),
        (137, "ERROR: ld.so: object 'libeatmydata.so' cannot be preloaded: ignored.", "it was killed (exit"),
    ],
)  # fmt: skip
def test_failures_say_what_they_mean(code: int, told: str, expected: str) -> None:
    error = explain("the backup failed", code, told)
    assert str(error).startswith("the backup failed: ")
    assert expected in str(error)
    assert str(error).isascii()


def test_what_is_warned_of_is_no_cause() -> None:
    told = "WARN: unable to find a standby\nERROR: [082]: WAL segment 01 was not archived before the timeout"
    error = explain("the backup failed", 82, told)
    assert "not archived" in error.problem and "standby" not in error.problem


def test_a_lock_is_told_from_a_failure() -> None:
    told = "ERROR: [050]: unable to acquire lock on file '/tmp/pgbackrest/shop-archive-1.lock'"
    assert isinstance(explain("x", 50, told), LockedError)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("FATAL:  WAL ends before end of online backup\nLOG:  database system is shut down", "is missing"),
        ("FATAL:  could not write: No space left on device\n", "the disk is full"),
        ("repo1: 17-1/x.zst [FileWriteError] unable to write 'RECOVERYXLOG'\nFATAL:  x", "the disk is full"),
        ("x FATAL:  the database system is starting up\nx FATAL:  could not open\n", "could not open"),
        ("", "it said nothing"),
    ],
)  # fmt: skip
def test_a_copy_that_does_not_start_says_why(log: str, expected: str) -> None:
    assert expected in str(recovery_error(log))
