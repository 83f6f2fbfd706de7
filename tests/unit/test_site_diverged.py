"""Whether two sites' databases have one past: by the WAL itself, as timelines' numbers do not tell."""

from __future__ import annotations

import re
from pathlib import Path

import diverged
import pytest
from diverged import SEGMENT, differs, line, names, position_of, written

# Where the sites parted, in the sixth segment; of a timeline begins there a record with its time.
PARTED = 5 * SEGMENT + 0x6C7C0
PAST = b"what both wrote. " * 2000


def wrote(data: Path, timeline: int, begin: int, what: bytes, parents: tuple[tuple[int, int], ...]) -> None:
    """A site's WAL: the past up to `begin`, and from there on what the timeline wrote."""
    wal = data / "pg_wal"
    wal.mkdir(parents=True, exist_ok=True)
    first = begin // SEGMENT * SEGMENT
    segment = bytearray(SEGMENT)
    segment[begin - first - len(PAST) : begin - first] = PAST
    segment[begin - first : begin - first + len(what)] = what
    (wal / f"{timeline:08X}{0:08X}{begin // SEGMENT:08X}").write_bytes(segment)
    if parents:
        history = "".join(f"{parent}\t{written(left)}\tno recovery target\n\n" for parent, left in parents)
        (wal / f"{timeline:08X}.history").write_text(history)


class OtherSite:
    def __init__(self, data: Path, timeline: int, position: int) -> None:
        self.wal, self.timeline, self.position = data / "pg_wal", timeline, position

    def ask(self, query: str) -> str:
        if "pg_current_wal_flush_lsn" in query:
            history = (self.wal / f"{self.timeline:08X}.history").read_bytes().hex()
            return f"{self.timeline}|{self.position}|{history}\n"
        found = re.search(r"'pg_wal/(\w+)', (\d+), (\d+)", query)
        assert found
        path, begin, length = self.wal / found[1], int(found[2]), int(found[3])
        return path.read_bytes()[begin : begin + length].hex() + "\n" if path.exists() else "\n"


def stopped(timeline: int, checkpoint: int = 0, replayed: int = 0) -> dict[str, str]:
    return {
        "Latest checkpoint's TimeLineID": str(timeline),
        "Latest checkpoint location": written(checkpoint),
        "Minimum recovery ending location": written(replayed),
        "Min recovery ending loc's timeline": str(timeline if replayed else 0),
    }


@pytest.fixture
def other(tmp_path: Path) -> OtherSite:
    """The other site was promoted where they parted, to timeline 2."""
    wrote(tmp_path / "other", 2, PARTED, b"promoted at noon" * 900, ((1, PARTED),))
    return OtherSite(tmp_path / "other", 2, PARTED + 9000)


def test_two_timelines_of_one_number_that_begin_elsewhere(tmp_path: Path, other: OtherSite) -> None:
    later = PARTED + 0xB0
    wrote(tmp_path / "own", 2, later, b"promoted later" * 900, ((1, later),))
    why = differs(tmp_path / "own", stopped(2, checkpoint=later + 4000), other.ask)
    assert why == "both sites have a timeline 2 of their own"


@pytest.mark.parametrize("told", [stopped(2, checkpoint=PARTED + 4000), stopped(1, replayed=PARTED - 500)])
def test_two_timelines_of_one_number_that_begin_at_the_same_position(
    tmp_path: Path, other: OtherSite, told: dict[str, str]
) -> None:
    wrote(tmp_path / "own", 2, PARTED, b"promoted at one!" * 900, ((1, PARTED),))
    assert "is another one than the other site's" in differs(tmp_path / "own", told, other.ask)


def test_a_promotion_again_at_a_site_that_was_left(tmp_path: Path, other: OtherSite) -> None:
    again = PARTED + 4000
    wrote(tmp_path / "own", 2, PARTED, b"promoted at one!" * 900, ((1, PARTED),))
    wrote(tmp_path / "own", 3, again, b"again", ((1, PARTED), (2, again)))
    assert differs(tmp_path / "own", stopped(3, checkpoint=again + 90), other.ask)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(stopped(2, replayed=PARTED + 4000), id="a-replica-of-the-other-site"),
        pytest.param(stopped(2, checkpoint=PARTED + 4000), id="its-former-primary"),
        pytest.param(stopped(1, replayed=PARTED - 100), id="one-that-has-not-read-the-new-timeline-yet"),
    ],
)
def test_a_part_of_what_the_other_site_has_differs_in_nothing(
    tmp_path: Path, other: OtherSite, told: dict[str, str]
) -> None:
    wrote(tmp_path / "own", 2, PARTED, b"promoted at noon" * 900, ((1, PARTED),))
    assert differs(tmp_path / "own", told, other.ask) == ""


def test_what_pg_rewind_can_undo_is_left_to_it(tmp_path: Path, other: OtherSite) -> None:
    """The former primary wrote on, on the timeline on which both were."""
    wrote(tmp_path / "own", 1, PARTED, b"written after it was cut off", ())
    assert differs(tmp_path / "own", stopped(1, checkpoint=PARTED + 40), other.ask) == ""


def test_what_is_not_there_any_more_is_no_difference(tmp_path: Path, other: OtherSite) -> None:
    wrote(tmp_path / "own", 2, PARTED, b"promoted at one!" * 900, ((1, PARTED),))
    next(other.wal.glob("00000002????????????????")).unlink()
    assert differs(tmp_path / "own", stopped(2, checkpoint=PARTED + 4000), other.ask) == ""


def test_a_segment_that_was_made_and_not_written_is_no_difference(tmp_path: Path, other: OtherSite) -> None:
    wrote(tmp_path / "own", 2, PARTED, b"", ((1, PARTED),))
    assert differs(tmp_path / "own", stopped(1, replayed=PARTED - 100), other.ask) == ""


def test_where_a_byte_of_wal_may_lie() -> None:
    of = line(3, f"1\t{written(PARTED)}\tx\n2\t{written(PARTED + 90)}\ty\n")
    assert of == [(1, 0), (2, PARTED), (3, PARTED + 90)]
    segment = "0000000000000005"
    assert list(names(of, PARTED)) == [f"{n:08X}{segment}" for n in (1, 2, 3)]
    assert list(names(of, PARTED + 1)) == [f"{n:08X}{segment}" for n in (2, 3)]
    assert list(names(of, 6 * SEGMENT + 1)) == ["000000030000000000000006"]
    # The last byte of a segment, as PostgreSQL names files.
    assert list(names([(1, 0)], 1 << 32)) == ["0000000100000000000000FF"]
    assert list(names([(1, 0)], (1 << 32) + 1)) == ["000000010000000100000000"]


def test_positions_are_read_as_they_are_written() -> None:
    assert position_of("16/B374D848") == (0x16 << 32) + 0xB374D848
    assert written(position_of("16/B374D848")) == "16/B374D848"


def test_what_cannot_be_compared_is_not_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "main/PG_VERSION").touch()
    # No PostgreSQL here whose programs could tell.
    diverged.give_up(tmp_path / "main", {})
    assert (tmp_path / "main/PG_VERSION").exists()
    assert "not compared" in capsys.readouterr().out
