"""What the lab's stack says of the reference application's data fits its schema, and does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.backup.backup_scratch import Scratch
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care import subject
from ansible_collections.slipway.compose.plugins.module_utils._core.data_care.clone_source import Masked
from ansible_collections.slipway.compose.plugins.module_utils._core.migration import migration_sql
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.postgres import Psql

CHECKOUT = Path(__file__).resolve().parents[2]
CARE = yaml.safe_load((CHECKOUT / "inventories/lab/group_vars/lab/stack.yml").read_text())["stack"]["data"]
WAYFARE = CARE["databases"]["wayfare"]
ADA, BOB = "0d5f6c1e-6d3c-4f5e-9a51-0123456789ab", "7b0c5d2f-1e4a-4c1d-8b2e-ba9876543210"
BOOK = """INSERT INTO bookings (reference, journey_id, session_id, idempotency_key, fingerprint, passenger,
    seats, price_cents, currency)
    SELECT upper(left(md5(k::text || '{who}'), 8)), id, '{who}', 'key-' || k || '{who}', md5('{who}'),
        '{name}', 1, price_cents, 'EUR'
    FROM (SELECT * FROM journeys ORDER BY id LIMIT 1) AS one, generate_series(1, 2) AS k;
INSERT INTO audit_log (actor, action, subject_type, subject_id, request_id, detail)
    SELECT '{who}', 'booking.created', 'booking', id, 'req-{who}', '{{"seats": 1}}' FROM bookings
    WHERE session_id = '{who}';
"""


@pytest.fixture
def wayfare(server: Psql) -> Psql:
    assert server.send("CREATE ROLE wayfare LOGIN;\nCREATE DATABASE wayfare OWNER wayfare;\n").ok
    made = server.on("wayfare").as_user("wayfare")
    for path in sorted((CHECKOUT / "apps/wayfare/migrations").glob("*.up.sql")):
        answer = made.send(path.read_text(), 120)
        assert answer.ok, answer.error
    ledger = migration_sql._CREATE
    row = "1, 'timetable', 'x', 'applied', 0, now(), 1, 'ada@laptop'"
    entry = f"INSERT INTO {migration_sql.LEDGER} VALUES ({row});"
    names = ((ADA, "Ada Lovelace"), (BOB, "Bob Marley"))
    book = "".join(BOOK.format(who=who, name=name) for who, name in names)
    answer = made.send(f"{ledger}{entry}{book}")
    assert answer.ok, answer.error
    return made


def script(what: str) -> list[str]:
    file = WAYFARE["subject"][what]
    return subject.judged(file, (CHECKOUT / file).read_text(), what)


def test_its_rules_mask_all_that_names_a_traveller(server: Psql, wayfare: Psql) -> None:
    place = Scratch(
        lambda argv, stdin=None: server._run(_as_postgres(list(argv)), stdin), server.container, "none"
    )
    masked = Masked(place, "wayfare")
    masked.mask(WAYFARE["masking"])
    masked.check()
    rows = masked.settled()
    assert (rows["bookings"] > 0, rows["places"]) == (True, 11)
    told = ("bookings", "audit_log", "slipway_migrations")
    everything = wayfare.send("".join(f"SELECT it::text FROM {table} it;" for table in told)).out
    for original in (ADA, BOB, "Lovelace", "Marley", "ada@laptop", "key-1"):
        assert original not in everything
    # Who has booked what is still told by the two of them, under other names.
    joined = "SELECT count(*) FROM audit_log JOIN bookings ON actor = session_id::text;"
    assert wayfare.send(joined).out == "0\n"
    assert wayfare.send("SELECT count(DISTINCT session_id) FROM bookings;").out == "2\n"


def _as_postgres(argv: list[str]) -> list[str]:
    at = next(place for place, word in enumerate(argv, 1) if word in ("psql", "pg_dump"))
    return [*argv[:at], "-U", "postgres", *argv[at:]]


def test_a_traveller_sees_its_own_bookings_and_takes_its_name_away(wayfare: Psql) -> None:
    (query,) = script("export")
    ((row,),) = [subject.export(wayfare, query, ADA)]
    held = row["held"]
    assert {it["passenger"] for it in held["bookings"]} == {"Ada Lovelace"}
    count = len(held["bookings"])
    assert count == len(held["audit_log"]) > 0

    changed = {"bookings": {"added": 0, "changed": count, "deleted": 0}}
    assert subject.erase(wayfare, script("erase"), ADA, "ROLLBACK") == changed
    assert subject.export(wayfare, query, ADA) == [row]
    assert subject.erase(wayfare, script("erase"), ADA) == changed
    assert subject.export(wayfare, query, ADA)[0]["held"]["bookings"] == []
    assert subject.erase(wayfare, script("erase"), ADA) == {}
    whose = wayfare.send("SELECT passenger, count(*) FROM bookings GROUP BY 1 ORDER BY 1;").out.split("\n")
    assert whose[:2] == [f"Bob Marley|{count}", f"erased|{count}"]


def test_what_cannot_be_erased_whole_is_not_erased_at_all(wayfare: Psql) -> None:
    broken = [*script("erase"), "DELETE FROM audit_log WHERE actor = current_setting('slipway.subject')"]
    with pytest.raises(subject.SlipwayError, match="append-only"):
        subject.erase(wayfare, broken, ADA)
    assert wayfare.send(f"SELECT count(*) > 0 FROM bookings WHERE session_id = '{ADA}';").out == "t\n"


def test_a_name_that_is_sql_is_a_name(wayfare: Psql) -> None:
    (query,) = script("export")
    nobody = "'; DROP TABLE bookings; --\\"
    assert subject.export(wayfare, query, nobody) == [{"held": {"bookings": [], "audit_log": []}}]
