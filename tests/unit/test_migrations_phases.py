"""What runs before a release gets traffic, what once it is alone, and whether an earlier one could serve."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_phases import (
    before_traffic,
    obstacles,
    outlook,
    served,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrations import (
    Migration,
    Record,
    plan,
)
from hypothesis import given
from hypothesis import strategies as some

CONTRACT = "-- slipway: contract\n"


def expand(number, up="SELECT 1;"):
    return Migration(number, "part", up, "SELECT 0;")


def contract(number, up="SELECT 1;"):
    return Migration(number, "part", f"{CONTRACT}{up}", "SELECT 0;")


def ledger(*items, state="applied", kind=""):
    """The items' rows; their kind as it is recorded, unless another is given (None: not recorded)."""
    return [
        Record(
            it.number,
            it.name,
            it.checksum,
            state,
            0,
            "2026-01-01",
            1,
            "me@here",
            it.kind if kind == "" else kind,
        )
        for it in items
    ]


def told(problems):
    return " ".join(map(str, problems))


FIRST = expand(1)


def phases(folder, done, serving):
    found = outlook(folder, ledger(*done), serving)
    return [it.migration.number for it in found.expand], [it.migration.number for it in found.contract]


class TestWhatIsMissing:
    def test_is_an_expand_unless_it_says_otherwise(self):
        folder = [FIRST, expand(2), contract(3), contract(4)]
        assert phases(folder, [FIRST], [FIRST]) == ([2], [3, 4])

    def test_runs_at_once_where_no_release_serves(self):
        folder = [FIRST, contract(2), expand(3), contract(4)]
        found = outlook(folder, [], [])
        assert found.fresh and not found.problems
        assert phases(folder, [], []) == ([1, 2, 3, 4], [])

    def test_also_after_a_first_deployment_that_broke_off(self):
        folder = [FIRST, contract(2), expand(3)]
        assert phases(folder, [FIRST], []) == ([2, 3], [])

    def test_of_a_service_under_a_new_name_is_not_taken_for_a_first_deployment(self, tmp_path):
        (tmp_path / "old-name").mkdir()
        (tmp_path / "old-name/000001_part.up.sql").write_text(FIRST.up)
        (tmp_path / "old-name/000001_part.down.sql").write_text(FIRST.down)
        assert served(tmp_path) == (FIRST,)
        assert not outlook([FIRST, expand(2)], ledger(FIRST), served(tmp_path)).fresh

    def test_is_refused_where_an_expand_stands_behind_a_contract_of_the_same_release(self):
        folder = [FIRST, contract(2), expand(3)]
        found = outlook(folder, ledger(FIRST), [FIRST])
        assert "000002_part.up.sql: is a contract, and 000003_part, an expand" in told(found.problems)
        assert "release the revision that ends with it first" in told(found.problems)

    def test_may_be_a_contract_that_the_serving_release_brought_and_left(self):
        left = contract(2)
        folder = [FIRST, left, expand(3), contract(4)]
        assert outlook(folder, ledger(FIRST), [FIRST, left]).problems == ()
        assert phases(folder, [FIRST], [FIRST, left]) == ([2, 3], [4])

    def test_waits_as_before_where_no_expand_needs_it(self):
        left = contract(2)
        assert phases([FIRST, left, contract(3)], [FIRST], [FIRST, left]) == ([], [2, 3])

    def test_of_an_edited_contract_is_not_what_the_serving_release_brought(self):
        folder = [FIRST, contract(2, "SELECT 2;"), expand(3)]
        assert outlook(folder, ledger(FIRST), [FIRST, contract(2)]).problems

    def test_may_be_the_rest_of_a_contract_that_was_begun_when_its_release_was_alone(self):
        again = contract(2, "-- slipway: no-transaction, repeatable\nVACUUM;\nANALYZE;")
        rows = [*ledger(FIRST), *ledger(again, state="applying")]
        found = outlook([FIRST, again, expand(3)], rows, [FIRST])
        assert found.problems == () and [str(step) for step in found.expand] == [
            "apply 000002_part.up.sql",
            "apply 000003_part.up.sql",
        ]

    def test_is_told_with_all_that_is_wrong_at_once(self):
        found = outlook([FIRST, contract(2, "BEGIN;"), expand(3, "'open")], ledger(FIRST), [FIRST])
        assert len(found.problems) == 3


@given(some.lists(some.booleans(), min_size=1, max_size=6), some.integers(0, 6))
def test_no_contract_of_a_release_runs_before_its_traffic(kinds, done):
    """Either the release is refused, or what runs first are expands alone; and nothing is left out."""
    folder = [contract(at) if late else expand(at) for at, late in enumerate(kinds, 1)]
    applied = folder[: max(1, min(done, len(folder)))]
    found = outlook(folder, ledger(*applied), applied)
    assert found.problems or all(step.migration.kind == "expand" for step in found.expand)
    assert [*found.expand, *found.contract] == plan(folder, ledger(*applied), len(folder), False)
    assert list(found.expand) == plan(
        folder, ledger(*applied), before_traffic(folder, ledger(*applied), applied), False
    )


class TestAnEarlierReleaseCanServe:
    def test_while_only_expands_were_added(self):
        assert obstacles([FIRST], ledger(FIRST, expand(2)), []) == []

    def test_not_after_a_contract(self):
        found = told(obstacles([FIRST], ledger(FIRST, expand(2), contract(3)), []))
        assert "000003_part: is a contract that the database has, and that release may need" in found
        assert "000002" not in found and "Go forward" in found

    def test_not_after_half_a_contract(self):
        rows = [*ledger(FIRST), *ledger(contract(2), state="applying")]
        assert "is a contract that the database has in part" in told(obstacles([FIRST], rows, []))

    def test_after_half_an_expand_of_a_later_one(self):
        rows = [*ledger(FIRST), *ledger(expand(2), state="applying")]
        assert obstacles([FIRST], rows, []) == []

    def test_not_with_half_of_what_it_needs(self):
        rows = [*ledger(FIRST), *ledger(expand(2), state="applying")]
        assert "is half done" in told(obstacles([FIRST, expand(2)], rows, []))

    def test_not_without_an_expand_of_its_own(self):
        found = told(obstacles([FIRST, expand(2)], ledger(FIRST), []))
        assert "000002_part: is needed by that release, and the database does not have it" in found

    def test_not_with_another_file_under_its_number(self):
        rows = ledger(FIRST, expand(2, "SELECT 2;"))
        assert "does not have it" in told(obstacles([FIRST, expand(2)], rows, []))

    def test_with_a_contract_of_its_own_that_never_ran(self):
        assert obstacles([FIRST, contract(2)], ledger(FIRST), []) == []

    def test_where_the_serving_release_knows_what_the_ledger_did_not_record(self):
        rows = [*ledger(FIRST), *ledger(expand(2), kind=None)]
        assert obstacles([FIRST], rows, [FIRST, expand(2)]) == []
        assert "before its kind was recorded" in told(obstacles([FIRST], rows, []))

    def test_with_no_folder_at_all(self):
        assert obstacles([], ledger(FIRST), []) == []
        assert obstacles([], ledger(contract(1)), []) != []


class TestAnOlderRevisionIsDeployed:
    def test_over_the_expands_of_a_later_one(self):
        assert plan([FIRST], ledger(FIRST, expand(2)), 1, False) == []
        rows = [*ledger(FIRST), *ledger(expand(2), state="applying")]
        assert plan([FIRST], rows, 1, False) == []

    def test_not_over_its_contracts(self):
        with pytest.raises(SlipwayError, match="000002_part is applied and its file is missing"):
            plan([FIRST], ledger(FIRST, contract(2)), 1, False)

    def test_not_where_a_file_in_the_middle_is_gone(self):
        with pytest.raises(SlipwayError, match="000001_part is applied and its file is missing"):
            plan([expand(2)], ledger(FIRST, expand(2)), 2, False)


def test_a_ledger_of_another_version_is_read():
    row = {**vars(ledger(FIRST)[0]), "of_a_later_version": 1}
    row.pop("kind")
    assert Record.from_row(row).kind is None
