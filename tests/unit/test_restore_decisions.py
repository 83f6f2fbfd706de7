"""Which WAL is missing, which backups lie on a timeline, where a restore begins: decided alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_proof import Proof
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_report import Verification
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_wal import (
    Line,
    history,
    holes,
    name,
    newest_line,
    segments,
    spans,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backups import on_line
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.restore_plan import (
    estimate,
    parse_target,
    plan_restore,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from made_backups import SUNDAY, backup, files, info

MADE = [backup("full", SUNDAY), backup("diff", SUNDAY + timedelta(days=1), 8, 9)]
LATER = SUNDAY + timedelta(days=9)
WHOLE = files(*range(5, 12))
END = ("--target-action=promote", "--target-timeline=1")


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


def test_what_a_later_timeline_brought_hides_no_hole_on_the_way_along_an_earlier_one() -> None:
    """Back on timeline 1, after a restore whose timeline 3 went on from segment 6."""
    moment = SUNDAY + timedelta(minutes=10)
    first = {path: SUNDAY.timestamp() + time for path, time in files(5, 6, 7, 9).items()}
    later = {path: LATER.timestamp() + time for path, time in files(6, 7, line=3).items()}
    target = parse_target(moment.isoformat(), LATER)
    with pytest.raises(SlipwayError, match=f"{1:08X}{8:016X}"):
        plan_restore(info(MADE[0]), first | later, Line(1), target)


@pytest.mark.parametrize(
    ("last", "told"), [pytest.param(0x32, False, id="all-of-it"), pytest.param(0x40, True, id="some-is-lost")]
)
def test_a_proof_is_held_against_the_timeline_it_followed(last: int, told: bool) -> None:
    """Timeline 1 had come to segment 0x50 when a restore left it at 0x30 for timeline 3."""

    class Held:
        def segments(self, archive: str, repository: int) -> list[str]:
            del archive, repository
            return [
                *(name(1, it) for it in range(0x20, 0x51)),
                *(name(3, it) for it in range(0x30, last + 1)),
            ]

    held: Any = Held()
    proof = Proof(held)
    proof._line = Line(3, {1: 0x30 << 24})
    found = proof._short(name(3, 0x32), MADE[0])
    assert bool(found) == told


def verification(begun: str, rto: float | None, size: int) -> Verification:
    return Verification(begun, begun, begun, 1, "x", True, None, None, rto, size, ())


def test_how_long_a_restore_takes_is_told_by_the_last_proof_that_came_so_far() -> None:
    proofs = [verification("2026-11-27", 20.0, 100), verification("2026-11-26", 50.0, 100)]
    assert estimate(400, proofs) == 80.0
    assert estimate(400, [*proofs, verification("2026-11-28", None, 100)]) == 80.0
    assert estimate(400, []) is None
