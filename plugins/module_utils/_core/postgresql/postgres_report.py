"""How PostgreSQL fares inside: what a report's answers mean, and how they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..checks.health import FAIL, WARN
from ..wording import listed

# Transactions. PostgreSQL refuses writes at about 2 147 000 000; autovacuum should have begun at freeze_max.
WRAPAROUND_NEAR = 1_000_000_000
HELD_BACK = 1_000_000
# Rows and shares from which on a table is spoken of; small ones are of no weight.
DEAD_ROWS, DEAD_SHARE = 10_000, 0.2
CHANGED_ROWS, CHANGED_SHARE = 10_000, 0.2
WASTED_BYTES, WASTED_SHARE = 100 << 20, 0.5


@dataclass(frozen=True)
class Remark:
    """`status`: WARN or FAIL. `subject`: a database, `database: schema.table`, a role …"""

    status: str
    subject: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.status.upper()} {self.subject}: {self.problem}. {self.remedy}."


def judge(server: Mapping[str, Any], inside: Mapping[str, Mapping[str, Any]], now: datetime) -> list[Remark]:
    """Everything worth an operator's while, the gravest first. `inside`: answers by database."""
    found = [*_wraparound(server), *_settings(server), *_roles(server, now)]
    for database, told in inside.items():
        found += [*_extensions(database, told), *_tables(database, told)]
    return sorted(found, key=lambda remark: remark.status != FAIL)


def _wraparound(server: Mapping[str, Any]) -> Iterator[Remark]:
    for it in server["databases"]:
        for what, age, most in (
            ("transactions", it["age"], server["freeze_max"]),
            ("multixacts", it["multixact_age"], server["multixact_freeze_max"]),
        ):
            if age <= 2 * most and age <= WRAPAROUND_NEAR:
                continue
            yield Remark(
                FAIL if age > WRAPAROUND_NEAR else WARN,
                it["name"],
                f"its oldest row is {age:,} {what} old, autovacuum should have begun at {most:,}",
                "See what holds vacuum back (below), then run VACUUM (FREEZE) in it",
            )
    for holder in server["holders"]:
        if holder["age"] > HELD_BACK:
            yield Remark(
                WARN,
                holder["what"],
                f"keeps vacuum from removing what {holder['age']:,} transactions have left",
                "End it if nobody needs it: docs/runbooks/postgres.md#vacuum-does-not-keep-up",
            )


def _settings(server: Mapping[str, Any]) -> Iterator[Remark]:
    if server["pending"]:
        remedy = "playbooks/postgres_maintenance.yml -e restart=true restarts one member after the other"
        yield Remark(WARN, "parameters", f"{listed(server['pending'])} wait for a restart", remedy)
    if server["autovacuum"] != "on":
        yield Remark(FAIL, "autovacuum", "is off", "Remove it from stack.components.postgres.parameters")


def _roles(server: Mapping[str, Any], now: datetime) -> Iterator[Remark]:
    for role in server["roles"]:
        if role["super"] and role["name"] != "postgres":
            yield Remark(
                WARN, f"role {role['name']}", "is a superuser", "ALTER ROLE … NOSUPERUSER, unless it must be"
            )
        if role["valid_until"] and datetime.fromisoformat(role["valid_until"]) < now:
            yield Remark(
                WARN, f"role {role['name']}", f"expired at {role['valid_until']}", "Drop it, or extend it"
            )


def _extensions(database: str, told: Mapping[str, Any]) -> Iterator[Remark]:
    for it in told["extensions"]:
        if it["available"] and it["version"] != it["available"]:
            yield Remark(
                WARN,
                f"{database}: extension {it['name']}",
                f"is at {it['version']}, the server has {it['available']}",
                f"ALTER EXTENSION {it['name']} UPDATE",
            )


def _tables(database: str, told: Mapping[str, Any]) -> Iterator[Remark]:
    for it in told["tables"]:
        subject, rows = f"{database}: {it['name']}", it["live"] + it["dead"]
        if it["dead"] > DEAD_ROWS and it["dead"] > DEAD_SHARE * rows:
            last = it["vacuumed"] or "never"
            problem = f"{it['dead']:,} of {rows:,} rows are dead, vacuumed last: {last}"
            yield Remark(WARN, subject, problem, f"VACUUM {it['name']}")
        if it["changed"] > CHANGED_ROWS and it["changed"] > CHANGED_SHARE * it["live"]:
            problem = f"{it['changed']:,} rows changed since it was analyzed ({it['analyzed'] or 'never'})"
            yield Remark(WARN, subject, problem, f"ANALYZE {it['name']}")
        if it["wasted"] > WASTED_BYTES and it["wasted"] > WASTED_SHARE * it["bytes"]:
            problem = f"about {_mb(it['wasted'])} of {_mb(it['bytes'])} are empty (estimated)"
            yield Remark(WARN, subject, problem, "VACUUM FULL locks it; pg_repack does not")


def lines(
    server: Mapping[str, Any], inside: Mapping[str, Mapping[str, Any]], remarks: Sequence[Remark]
) -> list[str]:
    """The whole report: what there is, then what is remarkable."""
    told = [f"PostgreSQL {server['version']}"]
    for it in server["databases"]:
        share = 100 * it["age"] / 2**31
        told.append(f"database {it['name']}: {_mb(it['bytes'])}, {share:.1f} % of the way to wraparound")
        names = [f"{e['name']} {e['version']}" for e in inside.get(it["name"], {}).get("extensions", ())]
        told.append(f"  extensions: {listed(names)}")
    told += [f"role {role['name']}: {_rights(role)}" for role in server["roles"]]
    return [*told, *(str(remark) for remark in remarks)] + ([] if remarks else ["nothing to remark"])


def _rights(role: Mapping[str, Any]) -> str:
    words = {
        "super": "superuser",
        "login": "logs in",
        "replication": "replicates",
        "bypass_rls": "bypasses RLS",
    }
    rights = [word for name, word in words.items() if role[name]]
    rights += [f"at most {role['connections']} connections"] if role["connections"] >= 0 else []
    rights += [f"member of {listed(role['member_of'])}"] if role["member_of"] else []
    return listed(rights)


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"
