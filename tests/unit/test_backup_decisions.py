"""Which backup is due, what a stanza needs, which WAL is missing, where a restore begins: decided alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_errors import LockedError, explain
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_info import (
    Backup,
    Info,
    RepositoryState,
    parse_info,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_scratch import recovery_error
from ansible_collections.slipway.compose.plugins.module_utils._core.backup_wal import (
    Line,
    history,
    holes,
    newest_line,
    segments,
    spans,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backups import (
    Schedule,
    Server,
    age,
    calendar,
    due,
    on_line,
    stanza_step,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.restore_plan import (
    parse_target,
    plan_restore,
)
from hypothesis import given
from hypothesis import strategies as st

# A Sunday.
SUNDAY = datetime(2026, 11, 29, 2, 7, tzinfo=UTC)
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


def backup(kind: str, begun: datetime, first: int = 5, last: int = 6, line: int = 1) -> Backup:
    start, stop = f"{line:08X}{first:016X}", f"{line:08X}{last:016X}"
    lsn, letter = f"0/{last << 24:X}", {"full": "F", "diff": "D", "incr": "I"}[kind]
    label = f"{begun:%Y%m%d-%H%M%S}{letter}"
    return Backup(label, kind, 1, begun, begun + timedelta(minutes=1), 1, 1, start, stop, lsn, "17-1", False)


def info(*backups: Backup, code: int = 0, system_id: str = "77", version: str = "17") -> Info:
    return Info((RepositoryState(1, code, "ok", ""),), backups, system_id, version, None)


def files(*numbers: int, line: int = 1) -> dict[str, float]:
    """An archive in which segment n arrived at second n."""
    return {f"x/{line:08X}{it:016X}-{'0' * 40}.zst": float(it) for it in numbers}


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
    ("held", "line", "expected"),
    [
        pytest.param(files(5, 6, 7), Line(1), [], id="whole"),
        pytest.param(files(3, 5, 6), Line(1), [], id="what-is-older-is-needed-by-nobody"),
        pytest.param(files(5, 7), Line(1), [f"{1:08X}{6:016X}"], id="one-between"),
        pytest.param(files(6, 7), Line(1), [f"{1:08X}{5:016X}"], id="the-first"),
        pytest.param({}, Line(1), [f"{1:08X}{5:016X}"], id="all"),
        pytest.param(
            files(5, 6, 7, 8) | files(7, 8, line=2), Line(2, {1: 7 << 24}), [], id="over-a-promotion"
        ),
        pytest.param(
            files(5, 7, 8) | files(8, line=2),
            Line(2, {1: (7 << 24) + 100}),
            [f"{1:08X}{6:016X}", f"{2:08X}{7:016X}"],
            id="the-segment-of-a-promotion-belongs-to-the-new-timeline",
        ),
        pytest.param(
            files(5, 6, 9) | files(7, 8, line=2),
            Line(2, {1: 7 << 24}),
            [],
            id="a-hole-on-a-timeline-that-was-left",
        ),
        pytest.param(
            files(5), Line(2, {1: 7 << 24}), [f"{1:08X}{6:016X}"], id="a-timeline-of-which-nothing-arrived"
        ),
    ],
)  # fmt: skip
def test_missing_wal_is_found(held: dict[str, float], line: Line, expected: list[str]) -> None:
    assert holes(segments(held), f"{1:08X}{5:016X}", line) == expected


def test_neighbours_are_told_as_a_range() -> None:
    assert spans([f"{it:024X}" for it in (3, 4, 5, 9)]) == f"{3:024X} to {5:024X}, {9:024X}"
    assert spans([f"{1:08X}{0:08X}{0xFF:08X}", f"{1:08X}{1:08X}{0:08X}"]).count(" to ") == 1


def test_a_history_says_where_timelines_were_left() -> None:
    line = history(5, "1\t0/A000028\tno recovery target specified\n\n3\t1/2000000\tbefore 2026\n")
    assert line == Line(5, {1: 0xA000028, 3: 0x102000000})
    assert line.holds(1, 0xA000028) and not line.holds(1, 0xA000029) and not line.holds(2, 1)
    assert newest_line([*files(1), "x/00000005.history", *files(2, line=3)]) == 5


def test_backups_of_a_timeline_that_was_left_before_they_ended_are_no_beginning() -> None:
    old, lost, new = (
        backup("full", SUNDAY),
        backup("diff", SUNDAY + timedelta(days=1), 8, 9),
        backup("diff", SUNDAY + timedelta(days=2), 8, 9, line=2),
    )
    assert on_line([old, lost, new], Line(2, {1: 7 << 24})) == [old, new]


@pytest.mark.parametrize(
    ("code", "told", "expected"),
    [
        (39, "ERROR: [039]: write failed: [28] No space left on device", "the disk is full"),
        (28, "FormatError: key/value found outside of section at line 1: F\udcff", "platform/backup_cipher"),
        (95, "ERROR: [095]: unable to flush", "platform/backup_cipher"),
        (26, "ERROR: [026]: checksum mismatch", "is damaged"),
        (82, "ERROR: [082]: WAL segment 01 was not archived before the 60000ms timeout", "does not reach"),
        (28, "ERROR: [028]: backup info files exist but do not match the database", "another database"),
        (56, "ERROR: [056]: unable to find primary cluster - cannot proceed", "no primary"),
        (49, "ERROR: [049]: unable to connect to '10.0.0.1:8433'", "cannot be reached"),
        (75, "ERROR: [075]: no backup set found to restore", "no backup to restore"),
        (7, "ERROR: [007]: something new", "something new"),
        (7, "", "exit status 7"),
    ],
)  # fmt: skip
def test_failures_say_what_they_mean(code: int, told: str, expected: str) -> None:
    error = explain("the backup failed", code, told)
    assert str(error).startswith("the backup failed: ")
    assert expected in str(error)
    assert str(error).isascii()


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


MADE = [backup("full", SUNDAY), backup("diff", SUNDAY + timedelta(days=1), 8, 9)]
LATER = SUNDAY + timedelta(days=9)
WHOLE = files(*range(5, 12))
END = ("--target-action=promote", "--target-timeline=1")


@pytest.mark.parametrize(
    ("to", "start", "arguments"),
    [
        pytest.param("latest", 1, ["--type=default", "--target-timeline=1"], id="all-there-is"),
        pytest.param(
            "2026-11-29T08:00:00+02:00",
            0,
            ["--type=time", "--target=2026-11-29 06:00:00.000000+00", *END],
            id="a-moment-begins-with-the-backup-before-it",
        ),
        pytest.param(
            "point:before_sale",
            1,
            ["--type=name", "--target=before_sale", *END],
            id="a-restore-point",
        ),
        pytest.param(MADE[0].label, 0, ["--type=immediate", END[0]], id="a-backup-and-no-more"),
    ],
)  # fmt: skip
def test_a_restore_begins_with_the_right_backup(to: str, start: int, arguments: list[str]) -> None:
    plan = plan_restore(info(*MADE), WHOLE, Line(1), parse_target(to, LATER))
    assert plan.backup == MADE[start].label
    assert list(plan.arguments) == ["--repo=1", f"--set={MADE[start].label}", *arguments]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param("yesterday", "names no moment", id="no-time"),
        pytest.param("2026-11-29T08:00:00", "names no moment", id="no-zone"),
        pytest.param("2027-11-29T08:00:00Z", "has not come yet", id="the-future"),
        pytest.param("2026-11-29T01:00:00Z", "no backup is older", id="before-the-first"),
        pytest.param("20200101-000000F", "there is no backup 20200101-000000F", id="a-backup-nobody-has"),
    ],
)
def test_what_cannot_be_returned_to_is_refused(to: str, expected: str) -> None:
    with pytest.raises(SlipwayError, match=expected):
        plan_restore(info(*MADE), WHOLE, Line(1), parse_target(to, LATER))


def test_a_hole_matters_only_on_the_way() -> None:
    whole = {path: time + SUNDAY.timestamp() for path, time in files(5, 6, 7, 9, 10).items()}
    reached = (SUNDAY + timedelta(seconds=6)).isoformat()
    with pytest.raises(SlipwayError, match=f"{1:08X}{8:016X}"):
        plan_restore(info(MADE[0]), whole, Line(1), parse_target("latest", LATER))
    early = backup("full", SUNDAY - timedelta(hours=1))
    assert plan_restore(info(early), whole, Line(1), parse_target(SUNDAY.isoformat(), LATER)).backup
    with pytest.raises(SlipwayError, match="is missing"):
        plan_restore(
            info(early), whole, Line(1), parse_target((SUNDAY + timedelta(seconds=9)).isoformat(), LATER)
        )
    assert plan_restore(info(early), whole, Line(1), parse_target(reached, LATER)).backup
