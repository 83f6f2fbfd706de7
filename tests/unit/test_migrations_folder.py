"""A folder of migrations is judged by its file names."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrations_folder import (
    MigrationFile,
    check_names,
    read,
)
from hypothesis import given
from hypothesis import strategies as st


def files(*stems: str) -> list[str]:
    return [f"{stem}.{direction}.sql" for stem in stems for direction in ("up", "down")]


def test_migrations_are_read_in_order():
    assert read([*files("000002_orders", "000001_users"), "README.md"]) == [
        MigrationFile(1, "users", "000001_users.up.sql", "000001_users.down.sql"),
        MigrationFile(2, "orders", "000002_orders.up.sql", "000002_orders.down.sql"),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["notes.txt"], "there are no migrations in it", id="none"),
        pytest.param(files("000001_a", "000003_c"), "000002 is missing before 000003", id="a-gap"),
        pytest.param(
            files("000001_a", "000005_c"), "000002 to 000004 is missing before 000005", id="a-wide-gap"
        ),
        pytest.param(files("000002_a"), "000001 is missing before 000002", id="no-first"),
        pytest.param(files("000001_a", "000001_b"), "number 000001 is used by a and b", id="a-number-twice"),
        pytest.param(["000001_a.up.sql"], "has no 000001_a.down.sql beside it", id="no-way-back"),
        pytest.param(["000001_a.down.sql"], "has no 000001_a.up.sql beside it", id="only-a-way-back"),
        pytest.param(
            [*files("000001_a"), "2_b.up.sql"], "2_b.up.sql is not named like a", id="a-short-number"
        ),
        pytest.param([*files("000001_a"), "000002_b.sql"], "000002_b.sql is not named", id="no-direction"),
    ],
)
def test_a_folder_that_will_not_do(names, expected):
    (fault,) = check_names(names)
    assert expected in fault.problem
    with pytest.raises(SlipwayError, match="Name it|Number|Add|Give"):
        read(names)


def test_every_fault_is_listed():
    assert len(check_names([*files("000001_a", "000001_b", "000004_d"), "x.sql", "000005_e.up.sql"])) == 4


NAMES = st.sets(st.text() | st.from_regex(r"00000[1-3]_[ab]\.(up|down)\.sql", fullmatch=True), max_size=8)


@given(NAMES)
def test_names_are_read_exactly_when_nothing_is_wrong_with_them(names):
    if check_names(names):
        with pytest.raises(SlipwayError):
            read(names)
    else:
        count = sum(name.endswith(".up.sql") for name in names)
        assert [migration.number for migration in read(names)] == list(range(1, count + 1))
