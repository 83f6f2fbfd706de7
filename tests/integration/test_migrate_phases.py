"""Expand and contract against a real server: kinds in the ledger, restore points, who may serve."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.migration import migration_sql
from ansible_collections.slipway.compose.plugins.modules import migrate as module

FIRST = "CREATE TABLE journeys (id int PRIMARY KEY, place text NOT NULL);\n"
EXPAND = "ALTER TABLE journeys ADD COLUMN station text;\n"
CONTRACT = "-- slipway: contract\nALTER TABLE journeys DROP COLUMN place;\n"
BACK = "ALTER TABLE journeys ADD COLUMN place text NOT NULL DEFAULT '';"
LEGACY = f"""SET ROLE shop;
CREATE TABLE {migration_sql.LEDGER} (number bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
    state text NOT NULL, statement integer NOT NULL DEFAULT 0,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), duration_ms bigint NOT NULL DEFAULT 0,
    applied_by text NOT NULL);
INSERT INTO {migration_sql.LEDGER} (number, name, checksum, state, applied_by)
VALUES (1, 'journeys', encode(sha256(convert_to($${FIRST}$$, 'UTF8')), 'hex'), 'applied', 'me@here');
{FIRST}"""


class Releases:
    """Folders of releases as they stand on a host, and the module that is told of them."""

    def __init__(self, container, root, capsys):
        self._common = {"container": container, "database": "shop", "wait": 0}
        self._root = root
        self._capsys = capsys

    def store(self, release, *files):
        """A release with numbered files; the first one of all is FIRST."""
        folder = self._root / "releases" / release / "migrations" / "api"
        folder.mkdir(parents=True)
        names = ("journeys", "station", "place")
        for number, (name, text) in enumerate(zip(names, files, strict=False), 1):
            (folder / f"{number:06d}_{name}.up.sql").write_text(text)
            (folder / f"{number:06d}_{name}.down.sql").write_text(BACK if text == CONTRACT else "SELECT 1;")

    def serve(self, release):
        link = self._root / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(f"releases/{release}")

    def migrate(self, release, **more):
        arguments = {
            **self._common,
            "directory": str(self._root / "releases" / release / "migrations" / "api"),
            "serving": str(self._root / "current" / "migrations"),
            **more,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(self._capsys.readouterr().out)


@pytest.fixture
def releases(shop, container, tmp_path, capsys):
    found = Releases(container, tmp_path, capsys)
    found.store("one", FIRST)
    found.store("two", FIRST, EXPAND, CONTRACT)
    assert found.migrate("one")["changed"]
    found.serve("one")
    return found


def kinds(shop):
    rows = f"SELECT number || ' ' || kind FROM {migration_sql.LEDGER} ORDER BY number;"
    return shop.database.ask(rows).splitlines()


def test_a_contract_waits_until_its_release_is_alone(releases, shop):
    planned = releases.migrate("two", state="planned")
    assert (planned["expand"], planned["contract"]) == (["000002_station.up.sql"], ["000003_place.up.sql"])
    assert not planned["changed"] and not planned["problems"] and not planned["fresh"]
    assert shop.ledger() == ["1 applied"]
    assert releases.migrate("two", phase="expand")["steps"] == ["apply 000002_station.up.sql"]
    assert releases.migrate("two", phase="expand")["steps"] == []
    # The old release still finds its column.
    assert shop.database.ask("SELECT count(place) FROM public.journeys;") == "0"
    assert releases.migrate("two", phase="contract")["steps"] == ["apply 000003_place.up.sql"]
    assert kinds(shop) == ["1 expand", "2 expand", "3 contract"]


def test_a_first_deployment_runs_all_of_it_at_once(shop, container, tmp_path, capsys):
    found = Releases(container, tmp_path, capsys)
    found.store("two", FIRST, CONTRACT, EXPAND)
    planned = found.migrate("two", state="planned")
    assert planned["fresh"] and not planned["problems"] and len(planned["expand"]) == 3
    assert len(found.migrate("two", phase="expand")["steps"]) == 3


def test_an_expand_behind_a_contract_is_refused_and_nothing_runs(releases, shop):
    releases.store("bad", FIRST, CONTRACT, EXPAND)
    assert "is a contract, and 000003_place" in releases.migrate("bad", state="planned")["problems"][0]
    refused = releases.migrate("bad", phase="expand")
    assert refused["failed"] and "is a contract, and 000003_place" in refused["msg"]
    assert shop.ledger() == ["1 applied"]


def test_a_contract_that_was_left_runs_first_in_the_next_release(releases, shop):
    releases.store("left", FIRST, CONTRACT)
    releases.store("next", FIRST, CONTRACT, EXPAND)
    releases.serve("left")
    assert releases.migrate("left", phase="expand")["steps"] == []
    assert releases.migrate("next", phase="expand")["steps"] == [
        "apply 000002_station.up.sql",
        "apply 000003_place.up.sql",
    ]
    assert kinds(shop) == ["1 expand", "2 contract", "3 expand"]


def test_an_earlier_release_may_serve_until_a_contract_has_run(releases, shop):
    releases.migrate("two", phase="expand")
    releases.serve("two")
    assert releases.migrate("one", state="permitted")["problems"] == []
    releases.migrate("two", phase="contract")
    (problem,) = releases.migrate("one", state="permitted")["problems"]
    assert problem.startswith("000003_place: is a contract that the database has")
    assert releases.migrate("one")["failed"], "an old revision was deployed over a contract"
    # The manual way back, which is a decision about data.
    assert releases.migrate("two", target="2", allow_down=True)["steps"] == ["revert 000003_place.down.sql"]
    assert releases.migrate("one", state="permitted")["problems"] == []
    assert releases.migrate("one")["steps"] == []


def test_a_release_from_before_there_were_migrations_may_serve_over_expands(releases):
    assert releases.migrate("never-stored", state="permitted")["problems"] == []


def test_half_a_contract_forbids_it_too(releases, shop):
    releases.migrate("two")
    shop.database.ask(f"UPDATE {migration_sql.LEDGER} SET state = 'applying' WHERE number = 3;")
    (problem,) = releases.migrate("one", state="permitted")["problems"]
    assert "in part" in problem


def test_a_ledger_of_an_earlier_version_is_read_and_extended(shop, container, tmp_path, capsys):
    assert shop.database.send(LEGACY).ok
    found = Releases(container, tmp_path, capsys)
    found.store("one", FIRST)
    found.store("two", FIRST, EXPAND)
    found.serve("one")
    assert found.migrate("two", state="planned")["expand"] == ["000002_station.up.sql"]
    column = f"SELECT to_jsonb(l) ? 'kind' FROM {migration_sql.LEDGER} l;"
    assert shop.database.ask(column) == "f", "planning changed the ledger"
    assert found.migrate("two", phase="expand")["status"][1]["state"] == "applied"
    assert shop.database.ask(f"SELECT coalesce(kind, 'none') FROM {migration_sql.LEDGER};") == "none\nexpand"
    # What the ledger does not say, the serving release's own file does.
    assert found.migrate("never-stored", state="permitted")["problems"] == []


def test_the_ledger_is_not_altered_again_while_somebody_dumps_it(releases, shop, background, until):
    reading = f"BEGIN;\nLOCK TABLE {migration_sql.LEDGER} IN ACCESS SHARE MODE;\nSELECT pg_sleep(600);\n"
    background(lambda: shop.database.send(reading, seconds=0))
    until(shop.sleeps)
    try:
        assert releases.migrate("two", lock_timeout="500ms")["changed"]
    finally:
        shop.cancel_sleep()


class TestTheRestorePoint:
    def test_is_set_before_the_first_file_and_told(self, releases, shop):
        now = "pg_current_wal_insert_lsn()"
        before = shop.database.ask(f"SELECT {now};")
        point = releases.migrate("two", restore_point="slipway-20261122T141502-3f2a9c")["restore_point"]
        assert point["name"] == "slipway-20261122T141502-3f2a9c"
        set_at = f"'{point['lsn']}'::pg_lsn"
        assert shop.database.ask(f"SELECT '{before}'::pg_lsn < {set_at} AND {set_at} < {now};") == "t"

    def test_is_not_set_where_nothing_runs(self, releases):
        assert releases.migrate("one", restore_point="slipway-x")["restore_point"] == {}
        assert releases.migrate("two", restore_point="x", _ansible_check_mode=True)["restore_point"] == {}

    def test_is_told_where_the_migration_fails(self, releases, shop):
        releases.store("bad", FIRST, "ALTER TABLE nowhere ADD COLUMN x int;")
        told = releases.migrate("bad", restore_point="slipway-x")
        assert told["failed"] and "Restore point slipway-x stands at 0/" in told["msg"]
        assert shop.ledger() == ["1 applied"]


def test_without_a_member_nothing_is_judged_unless_one_must_lead(releases):
    nobody = {"container": "nowhere", "state": "planned"}
    assert releases.migrate("two", **nobody, must_lead=False)["judged"] is False
    assert releases.migrate("two", **nobody)["failed"]
