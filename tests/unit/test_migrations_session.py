"""What one session is told to do, and how its end is read."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migration_sql import (
    READ,
    Session,
    fingerprint,
    progress,
    records,
    run_file,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrations import (
    Migration,
    Record,
    Step,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.migration.migrator import (
    Goal,
    Migrator,
    folder,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql
from ansible_collections.slipway.compose.plugins.module_utils._core.retry import Patience

SESSION = Session("shop", "5s", "15min", "me@here")
PLAIN = Migration(1, "plain", "CREATE TABLE t ();\nINSERT INTO t DEFAULT VALUES;", "DROP TABLE t;")
ALONE = Migration(1, "alone", "-- slipway: no-transaction\nVACUUM;\nVACUUM t;", "SELECT 1;")
ROW = {"number": 1, "name": "plain", "checksum": PLAIN.checksum, "state": "applied", "statement": 0}
ROW |= {"applied_at": "2026-01-01T00:00:00+00:00", "duration_ms": 1, "applied_by": "me@here"}
TABLE = ",".join(ROW) + "\n"
KEPT = TABLE + ",".join(map(str, ROW.values())) + "\n"
DONE = f"slipway:statement 1\nslipway:done\nslipway:ledger {json.dumps([ROW])}\n"
NONE = ""
LOCKED = "ERROR:  55P03: canceling statement due to lock timeout\nLOCATION:  x\n"


class Server:
    """psql, scripted: one (exit status, output, error) after another."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.scripts = []

    def __call__(self, argv, stdin=None):
        self.scripts.append(stdin)
        return self._answers.pop(0)


def tries(count):
    return lambda: Patience(count, iter([0] * (count + 1)), iter(range(count + 2)).__next__, lambda _: None)


def migrate(server, migration=PLAIN, patience=0):
    migrator = Migrator(Psql(server, "c", "shop"), SESSION, 900, tries(patience))
    return migrator.run(Goal((migration,), 1, False))


def positions(text, *parts):
    """The parts follow each other, each the next of its kind."""
    position = 0
    for part in parts:
        position = text.index(part, position) + len(part)


def test_a_file_and_its_record_are_one_transaction_under_the_lock():
    positions(
        run_file(Step("up", PLAIN), SESSION, []),
        f"pg_try_advisory_lock({0x534C4950}, 1)",
        "SET lock_timeout = '5s';",
        "SET statement_timeout = '15min';",
        "AS planned",
        "BEGIN;",
        "$CREATE TABLE t ()$",
        "$INSERT INTO t DEFAULT VALUES$",
        "state = 'applied'",
        "COMMIT;",
        "slipway:done",
    )


def test_what_is_set_for_the_role_ends_no_file_and_gives_no_object_to_another():
    positions(
        run_file(Step("up", PLAIN), SESSION, []), "SET ROLE NONE;", "SET transaction_timeout = 0;", "BEGIN;"
    )


def test_a_file_outside_of_a_transaction_is_recorded_before_and_after_each_statement():
    text = run_file(Step("up", ALONE), SESSION, [])
    assert "BEGIN;" not in text and "COMMIT;" not in text
    positions(
        text,
        "planned",
        "'applying'",
        "$VACUUM$",
        "SET statement = 1",
        "$VACUUM t$",
        "SET statement = 2",
        "'applied'",
    )


def test_going_down_removes_the_record_in_the_same_transaction():
    positions(
        run_file(Step("down", PLAIN), SESSION, []), "BEGIN;", "$DROP TABLE t$", "DELETE FROM", "COMMIT;"
    )


def test_a_statement_cannot_close_its_own_quotes():
    text = run_file(Step("up", Migration(1, "a", "SELECT $slipway$ x $slipway$", "")), SESSION, [])
    (line,) = [line for line in text.splitlines() if line.endswith("\\gexec") and line.startswith("SELECT $")]
    tag = line.split("$")[1]
    assert line.count(tag) == 2


def test_a_finished_file_is_only_recorded():
    text = run_file(Step("up", ALONE, finished=True), SESSION, [])
    assert "VACUUM" not in text and "state = 'applied'" in text


def test_the_fingerprint_is_made_as_the_server_makes_it():
    rows = [
        Record(**ROW),
        Record(**{**ROW, "number": 2, "checksum": "ab", "state": "applying", "statement": 3}),
    ]
    assert fingerprint(rows) == f"1:{PLAIN.checksum}:applied:0,2:ab:applying:3"
    assert fingerprint([]) == ""


def test_progress_is_read_from_the_marks_between_other_output():
    came = progress(f"noise\nslipway:statement 1\nslipway:statement 2\n{DONE[DONE.index('slipway:done') :]}")
    assert (came.statement, came.done, came.busy, came.moved) == (2, True, False, False)
    assert came.ledger == (Record(**ROW),)


def test_the_ledger_is_read_as_a_table_and_nothing_else():
    """Not as a query: that would run what an owner put in the table's place, as a superuser."""
    assert "\nCOPY public.slipway_migrations TO STDOUT" in READ
    assert not re.search(r"(?i)\b(from|join)\s+(only\s+)?public\.", READ)


def test_a_ledger_is_read_in_order_whatever_its_texts_hold():
    out = (
        "number,name,checksum,state,statement,applied_at,duration_ms,applied_by,kind,added_later\n"
        '2,b,ab,applying,3,2026-11-22 18:20:00.5+00,7,"a ""b"",\r\nc\u2028",contract,x\n'
        "1,a,cd,applied,0,2026-11-22 18:20:00+00,1,me@here,,x\n"
    )
    first, second = records(out)
    assert (first.number, first.kind, first.applied_at) == (1, None, "2026-11-22T18:20:00+00:00")
    assert (second.number, second.statement, second.kind) == (2, 3, "contract")
    assert second.applied_by == 'a "b",\r\nc\u2028'


def test_a_ledger_of_an_earlier_version_has_no_kinds():
    assert records(KEPT) == [Record(**ROW)]
    assert records(TABLE) == records("") == []


@pytest.mark.parametrize(
    "out",
    [
        "slipway:replaced",
        "number,name\n1,a\n",
        KEPT.replace("\n1,", "\nx,"),
        KEPT.replace("2026-01-01T", "infinity"),
    ],
    ids=["it-is-a-view", "columns-are-gone", "numbers-are-none", "times-are-none"],
)
def test_a_ledger_that_somebody_changed_is_refused(out):
    with pytest.raises(SlipwayError, match=r"public\.slipway_migrations is no.*only the database.s owner"):
        records(out)


class TestARun:
    def test_takes_the_ledger_from_its_own_session(self):
        server = Server((0, NONE, ""), (0, DONE, ""))
        steps, ledger = migrate(server)
        assert [str(step) for step in steps] == ["apply 000001_plain.up.sql"]
        assert ledger == [Record(**ROW)] and len(server.scripts) == 2

    def test_plans_again_when_another_was_faster(self):
        steps, _ = migrate(Server((0, NONE, ""), (0, "slipway:moved\n", ""), (0, KEPT, "")), patience=3)
        assert steps == []

    def test_tries_again_after_a_lock_timeout(self):
        answers = [(0, NONE, ""), (3, "slipway:statement 1\n", LOCKED), (0, NONE, ""), (0, DONE, "")]
        assert len(migrate(Server(*answers), patience=3)[0]) == 1

    def test_does_not_repeat_what_may_be_done_in_part(self):
        answers = [(0, NONE, ""), (3, "slipway:statement 2\n", LOCKED), (0, "[]", "")]
        told = (
            "1 statements are done and kept, this one may be done in part. Open transactions: none any more"
        )
        with pytest.raises(SlipwayError, match=told):
            migrate(Server(*answers), ALONE, patience=3)

    def test_names_who_holds_the_lock_when_time_is_up(self):
        holder = json.dumps([{"pid": 7, "application": "slipway migrate", "seconds": 42, "state": "active"}])
        with pytest.raises(SlipwayError, match=r"pid 7 \(slipway migrate, active, 42 s\)"):
            migrate(Server((0, NONE, ""), (0, "slipway:busy\n", ""), (0, holder, "")))

    def test_that_was_cut_off_promises_nothing(self):
        answers = [(0, NONE, ""), (137, "slipway:statement 2\n", "")]
        with pytest.raises(SlipwayError, match="exit status 137.*kept whole or not at all"):
            migrate(Server(*answers))

    def test_that_was_recorded_is_done_though_its_end_was_not_heard(self):
        answers = [(0, NONE, ""), (2, "slipway:statement 1\nslipway:done\n", "lost"), (0, KEPT, "")]
        assert len(migrate(Server(*answers))[0]) == 1

    @pytest.mark.parametrize(
        "fatal",
        [
            'no pg_hba.conf entry for host "[local]", user "shop", database "shop", no encryption',
            'too many connections for role "shop"',
        ],
        ids=["the-member-was-just-told", "services-hold-all-connections"],
    )
    def test_waits_until_the_owner_is_let_in(self, fatal):
        refused = (2, "", f"psql: error: … FATAL:  {fatal}\n")
        steps, _ = migrate(
            Server((0, NONE, ""), refused, (0, NONE, ""), refused, (0, NONE, ""), (0, DONE, "")), patience=3
        )
        assert len(steps) == 1
        with pytest.raises(SlipwayError, match="shop"):
            migrate(Server((0, NONE, ""), refused))


def test_a_folder_is_read_byte_by_byte(tmp_path):
    (tmp_path / "000001_a.up.sql").write_bytes(b"SELECT 1;\r\n")
    (tmp_path / "000001_a.down.sql").write_bytes(b"SELECT 2;")
    assert folder(tmp_path) == (Migration(1, "a", "SELECT 1;\r\n", "SELECT 2;"),)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"\xff", "is not UTF-8 at byte 0"), (b"a\0b", "holds a NUL character")],
    ids=["latin", "nul"],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, told):
    (tmp_path / "000001_a.up.sql").write_bytes(content)
    (tmp_path / "000001_a.down.sql").write_bytes(b"")
    with pytest.raises(SlipwayError, match=told):
        folder(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SlipwayError, match="nowhere cannot be read: No such file or directory"):
        folder(tmp_path / "nowhere")
    with pytest.raises(SlipwayError, match="there are no migrations in it"):
        folder(tmp_path)
