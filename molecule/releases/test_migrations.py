"""The schema changes so that the release before can serve, until it never has to again."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fleet_under_test import Fleet
from site_under_test import CHECKOUT, Run
from steady_load import Load

from lab import Lab

SOURCE = CHECKOUT / "apps/wayfare/migrations"
ON_HOSTS = "/var/tmp/slipway-migrations-under-test"
# What a release of the reference application does not look at.
TABLE = "CREATE TABLE under_test (id uuid PRIMARY KEY, place text);\n"
DROP = "ALTER TABLE under_test DROP COLUMN place;\n"
MOVED = ("TASK [slipway.compose.release : Start", "TASK [slipway.compose.release : Retire")


class Schema:
    """A folder of migrations that grows beyond the application's own, and the database they go to."""

    def __init__(self, fleet: Fleet, lab: Lab, folder: Path) -> None:
        self._fleet = fleet
        self._lab = lab
        self.folder = folder
        self.last = len(list(SOURCE.glob("*.up.sql")))

    def write(self, above: int, name: str, up: str, down: str = "SELECT 1;\n") -> str:
        """A migration so many numbers above the application's own; return its label."""
        label = f"{self.last + above:06d}_{name}"
        for old in self.folder.glob(f"{label.split('_', maxsplit=1)[0]}_*"):
            old.unlink()
        (self.folder / f"{label}.up.sql").write_text(up)
        (self.folder / f"{label}.down.sql").write_text(down)
        return label

    def deploy(self, environment: dict[str, str] | None = None, **settings: Any) -> Run:
        """A release of the api with these migrations, which differs from any before it."""
        mark = {"RELEASE_UNDER_TEST": secrets.token_hex(4), **(environment or {})}
        migrations = str(self.folder.relative_to(CHECKOUT))
        return self._fleet.deploy(self._fleet.stack("api", mark, migrations=migrations, **settings))

    def ledger(self) -> list[str]:
        """The rows above the application's own, as number, state and kind."""
        rows = f"FROM slipway_migrations l WHERE number > {self.last} ORDER BY number"
        # A ledger that an earlier version began has no kind before the first migration of this one.
        columns = "number, state, to_jsonb(l) ->> 'kind'"
        command = f'psql --no-psqlrc -At -F " " -d wayfare -c "SELECT {columns} {rows}"'
        return self._lab.in_container(self._leader(), "postgres", command).splitlines()

    def _leader(self) -> str:
        asked = 'psql --no-psqlrc -At -c "SELECT pg_is_in_recovery()"'
        return next(
            host for host in self._lab.hosts if self._lab.in_container(host, "postgres", asked).strip() == "f"
        )

    def record(self) -> dict[str, Any]:
        """The newest record of a run, which the hosts' copies agree on."""
        host = self._lab.hosts[self._leader()]
        newest = host.check_output("ls -t /opt/%s/state/history/*.json | head -1", self._lab.stack["name"])
        found: dict[str, Any] = json.loads(host.check_output("cat %s", newest))
        return found

    def revert(self) -> Run:
        """By hand, as docs/runbooks/migrations.md says: back to the application's own last migration."""
        tasks = [
            {"ansible.builtin.copy": {"src": f"{self.folder}/", "dest": f"{ON_HOSTS}/"}, "become": True},
            {
                "slipway.compose.migrate": {
                    "database": "wayfare",
                    "directory": ON_HOSTS,
                    "target": str(self.last),
                    "allow_down": True,
                },
                "become": True,
            },
            {"ansible.builtin.file": {"path": ON_HOSTS, "state": "absent"}, "become": True},
        ]
        log = self._fleet.log()
        play = log.with_suffix(".yml")
        play.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        return self._fleet.site.deploy(log, playbook=str(play))


@pytest.fixture(scope="module")
def schema(fleet: Fleet, lab: Lab) -> Iterator[Schema]:
    folder = lab.folder / "migrations-under-test"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder)
    found = Schema(fleet, lab, folder)
    yield found
    reverted = found.revert()
    shutil.rmtree(folder)
    assert reverted.status == 0, reverted.problem
    # What serves may need the schema that is gone: a later rollback to it would rightly be refused.
    home = fleet.deploy()
    assert home.status == 0, home.problem


def test_what_would_break_the_serving_release_is_refused_before_anything_is_touched(
    fleet: Fleet, schema: Schema
) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    label = schema.write(1, "seats", "-- why\nALTER TABLE bookings DROP COLUMN seats;\n")
    run = schema.deploy()
    assert run.status != 0
    assert f"{label}.up.sql:2: Dropping a column" in run.output, run.problem
    assert "Nothing that runs was touched" in run.output
    assert not any(task in run.output for task in MOVED)
    assert (fleet.assert_one_pool("api"), fleet.current(), schema.ledger()) == (live, here, [])


@pytest.mark.by_hand
def test_a_migration_that_fails_leaves_the_old_release_and_its_schema(
    fleet: Fleet, schema: Schema, load: Load
) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    label = schema.write(1, "wrong", f"{TABLE}ALTER TABLE nowhere ADD COLUMN place text;\n")
    run = schema.deploy()
    assert run.status != 0
    assert f"{label}.up.sql, statement 2 of 2 (line 2) failed" in run.output, run.problem
    assert "Restore point slipway-" in run.output
    assert (fleet.assert_one_pool("api"), fleet.current(), schema.ledger()) == (live, here, [])
    assert load.failed == 0, load.failures


@pytest.mark.by_hand
def test_the_old_release_serves_over_the_schema_of_one_that_came_to_nothing(
    fleet: Fleet, schema: Schema, load: Load
) -> None:
    live, here = fleet.assert_one_pool("api"), fleet.current()
    schema.write(1, "table", TABLE, "DROP TABLE under_test;\n")
    run = schema.deploy({"MISBEHAVE": "never_ready"}, start_timeout="10s")
    assert run.status != 0
    assert "ROLLED BACK" in run.output, run.problem
    expanded = [f"{schema.last + 1} applied expand"]
    assert (fleet.assert_one_pool("api"), fleet.current(), schema.ledger()) == (live, here, expanded)
    assert load.failed == 0, load.failures


def test_a_contract_runs_once_its_release_is_alone_and_ends_the_way_back(
    fleet: Fleet, schema: Schema, load: Load
) -> None:
    old = fleet.current()
    schema.write(1, "table", TABLE, "DROP TABLE under_test;\n")
    label = schema.write(2, "place", f"-- slipway: contract\n{DROP}", "SELECT 1;\n")
    run = schema.deploy()
    assert run.status == 0, run.problem
    assert f"{label}.up.sql, once the release is alone" in run.output
    here, live = fleet.current(), fleet.assert_one_pool("api")
    assert here != old
    assert schema.ledger() == [f"{schema.last + 1} applied expand", f"{schema.last + 2} applied contract"]
    # An expansion that was pending has steps of the same names, before traffic.
    steps = [step["name"] for step in reversed(schema.record()["steps"])]
    assert max(map(steps.index, ("set a restore point", "migrate"))) < steps.index("make api live"), steps

    back = fleet.rollback()
    assert back.status != 0
    assert f"release {old} cannot serve with the schema as it is" in back.output, back.problem
    assert f"{label}: is a contract that the database has" in back.output
    assert "Go forward" in back.output
    assert (fleet.assert_one_pool("api"), fleet.current()) == (live, here)
    assert load.failed == 0, load.failures
