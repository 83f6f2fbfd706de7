"""Who led PostgreSQL, by the members' own logs: all that a leader says counts, and two are noticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from leading import Word, at_once, beside_another, primaries_of, words_of

FAILSAFE = "continue to run as a leader because failsafe mode is enabled and all members are accessible"


def round_of(second: int, text: str) -> str:
    return f"2026-11-27 15:22:{second:02},168 INFO: {text}\n"


def seconds(log: str) -> list[int]:
    return [int(at % 60) for at, _name in words_of(log, "a")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([(0, "a"), (3, "a"), (6, "a")], [], id="one-leads"),
        pytest.param([(0, "a"), (3, "a"), (23, "b"), (26, "b"), (80, "a")], [], id="one-after-the-other"),
        pytest.param([(0, "a"), (3, "a"), (5, "b"), (6, "a")], [(5, "a", "b")], id="two-at-once"),
    ],
)
def test_two_leaders_at_once_are_seen(words: Sequence[Word], expected: Sequence[Any]) -> None:
    assert list(at_once(words)) == expected


# Patroni 4.0.7 and PostgreSQL 17, as they are in the image; each line as it is logged.
@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("no action. I am (lab-1.slipway.test), the leader with the lock", True),
        ("PAUSE: no action. I am (lab-1.slipway.test), the leader with the lock", True),
        (FAILSAFE, True),
        ("PAUSE: continue to run as primary after failing to update leader lock in DCS", True),
        ("acquired session lock as a leader", True),
        ("promoted self to leader by acquiring session lock", True),
        ("promoted self to leader because I had the session lock", True),
        ("no action. I am (lab-1.slipway.test), the standby leader with the lock", False),
        ("no action. I am (lab-2.slipway.test), a secondary, and following a leader (lab-1)", False),
        ("promoted self to a standby leader by acquiring session lock", False),
        ("demoting self because DCS is not accessible and I was a leader", False),
        ("demoted self because failed to update leader lock in DCS", False),
        ("DCS is not accessible", False),
    ],
)
def test_what_patroni_says_as_a_leader_counts_and_nothing_else(text: str, leads: bool) -> None:
    assert seconds(round_of(56, text)) == ([56] if leads else [])


def test_a_server_that_is_promoted_has_said_that_it_leads() -> None:
    log = (
        "2026-11-28 11:58:51.703 UTC [23] LOG:  database system is ready to accept read-only connections\n"
        "2026-11-28 11:58:58.776 UTC [26] LOG:  received promote request\n"
        "2026-11-28 11:58:58.777 UTC [26] LOG:  selected new timeline ID: 2\n"
        "2026-11-28 11:58:58.791 UTC [26] LOG:  archive recovery complete\n"
        "2026-11-28 11:58:59.795 UTC [23] LOG:  database system is ready to accept connections\n"
    )
    assert seconds(log) == [59]


def both(first: str, other: str) -> list[Any]:
    return list(at_once(sorted([*words_of(first, "a"), *words_of(other, "b")])))


def test_two_leaders_in_failsafe_are_noticed() -> None:
    """Neither has the key, and each is told by the others that it may go on."""
    first, other = (
        "".join(round_of(second, FAILSAFE) for second in range(begun, 40, 2)) for begun in (10, 11)
    )
    found = both(first, other)
    assert found and {(one, two) for _at, one, two in found} == {("a", "b"), ("b", "a")}


def test_a_leader_in_failsafe_beside_one_with_the_key_is_noticed() -> None:
    held = "no action. I am (b), the leader with the lock"
    first = "".join(round_of(second, FAILSAFE) for second in (10, 12, 14))
    assert both(first, round_of(11, "no action. I am (b), a secondary, and following a leader (a)")) == []
    assert len(both(first, round_of(13, held))) == 1


def test_a_server_that_is_promoted_beside_a_leader_is_noticed_though_its_patroni_says_nothing() -> None:
    first = "".join(
        round_of(second, "no action. I am (a), the leader with the lock") for second in (10, 12, 14)
    )
    promoted = "2026-11-27 15:22:13.795 UTC [23] LOG:  database system is ready to accept connections\n"
    assert len(both(first, promoted)) == 1


def server_of(second: int, text: str) -> str:
    return f"2026-11-27 15:22:{second:02}.168 UTC [23] LOG:  {text}\n"


READY = "database system is ready to accept connections"
HELD = "no action. I am (a), the leader with the lock"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(server_of(5, READY), [(5, 40)], id="since-it-was-promoted"),
        pytest.param(round_of(5, HELD) + round_of(7, HELD), [(5, 40)], id="before-its-log-began"),
        pytest.param(
            server_of(5, READY) + server_of(9, "received immediate shutdown request"), [(5, 9)], id="demoted"
        ),
        pytest.param(
            round_of(5, HELD)
            + server_of(8, "starting PostgreSQL 17.12 (Debian 17.12-0+deb13u1)")
            + server_of(9, "database system is ready to accept read-only connections")
            + server_of(12, READY),
            [(5, 8), (12, 40)],
            id="killed-and-promoted-again",
        ),
        pytest.param(
            server_of(5, "database system is ready to accept read-only connections"), [], id="a-standby"
        ),
    ],
)
def test_a_server_is_a_primary_until_it_ends(log: str, expected: Sequence[Any]) -> None:
    (at, _name) = words_of(server_of(0, READY), "a")[0]
    found = [(round(it.begun - at), round(it.ended - at)) for it in primaries_of(log, "a", at + 40)]
    assert found == expected


def test_a_server_whose_patroni_hangs_is_told_as_a_second_primary_and_says_no_word() -> None:
    (at, _name) = words_of(server_of(0, READY), "a")[0]
    # Its Patroni says nothing from the 4th second to the 50th, and demotes it then.
    first = round_of(2, HELD) + round_of(4, HELD) + server_of(50, "received immediate shutdown request")
    other = server_of(17, READY) + round_of(18, HELD.replace("(a)", "(b)"))
    assert both(first, other) == []
    primaries = [*primaries_of(first, "a", at + 59), *primaries_of(other, "b", at + 59)]
    assert [
        (round(begun - at), round(long), *names) for begun, long, *names in beside_another(primaries)
    ] == [(17, 33, "a", "b")]


def test_one_primary_after_the_other_is_no_two() -> None:
    (at, _name) = words_of(server_of(0, READY), "a")[0]
    first = round_of(2, HELD) + server_of(16, "received fast shutdown request")
    primaries = [
        *primaries_of(first, "a", at + 59),
        *primaries_of(server_of(17, READY), "b", at + 59),
    ]
    assert list(beside_another(primaries)) == []
