"""Delete rows that are older than they are to be kept: by a timer on PostgreSQL's hosts, where it leads.

roles/host installs this file and those it imports as a program of the host: nothing but Python may be needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..postgresql import sql
from ..postgresql.postgres import NotAnsweringError, Psql
from ..run import Run
from . import retention_cascades as cascades

Say = Callable[[str], object]
# Below /opt/<stack>/, on the hosts of PostgreSQL; written by a release.
SETTINGS = Path("config/host/retention/settings.json")
METRICS = Path("state/metrics/retention.prom")
# Rows of one transaction: no lock is held for long, no replica falls far behind.
BATCH = 1000
_SECONDS = 600
TRY_AGAIN = 75


@dataclass(frozen=True)
class Rule:
    """Rows of `table` whose `column` is more than `keep` seconds ago."""

    database: str
    table: str
    column: str
    keep: int
    # Other tables, and the table itself, of which rows may go along: ON DELETE CASCADE.
    cascades: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.database}: {self.table}"

    @property
    def old(self) -> str:
        return f"{sql.name(self.column)} < now() - make_interval(secs => {self.keep})"

    @property
    def place(self) -> str:
        return ".".join(map(sql.name, self.table.split(".")))

    @property
    def known(self) -> str:
        return self.table.removeprefix("public.")

    def to_dict(self) -> dict[str, Any]:
        """For the program of a host, which may be older: what is not said is left out."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Outcome:
    """What became of one rule; rows: deleted, or in a dry run old enough to be. along: rows of other tables,
    and younger ones of the same, that went or would go with them, by table.
    """

    rule: Rule
    rows: int
    problem: str = ""
    along: Mapping[str, int] = field(default_factory=dict)

    def told(self, done: str) -> str:
        """In a sentence. done: what became of the rows."""
        if self.problem:
            return f"{self.rule}: {self.problem}"
        along = ", ".join(f"{rows} of {table}" for table, rows in sorted(self.along.items()) if rows)
        return f"{self.rule}: {self.rows} {done}" + (f", and with them {along}" if along else "")


def process(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        list(argv), input=stdin or "", capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout, done.stderr


def settings(rules: Sequence[Rule]) -> str:
    return json.dumps([rule.to_dict() for rule in rules], indent=1) + "\n"


class Retention:
    """One stack's rules on one of its hosts. container: of PostgreSQL's member here."""

    def __init__(self, root: Path, run: Run = process, container: str = "", batch: int = BATCH) -> None:
        self._root = root
        self._psql = Psql(run, container or f"{root.name}-postgres-1")
        self._batch = batch

    @property
    def rules(self) -> list[Rule]:
        path = self._root / SETTINGS
        if not path.exists():
            return []
        return [Rule(**rule) for rule in json.loads(path.read_text(encoding="utf-8"))]

    def leads(self) -> bool:
        return self._psql.ask("SELECT NOT pg_is_in_recovery();") == "t"

    def due(self, rules: Sequence[Rule]) -> list[Outcome]:
        """How many rows are old enough; nothing is deleted."""
        return [self._each(rule, self._count) for rule in rules]

    def delete(self, rules: Sequence[Rule], say: Say) -> list[Outcome]:
        """All rules, each also if another fails, and tell the monitoring."""
        outcomes = []
        for rule in rules:
            outcomes.append(self._each(rule, self._delete))
            say(outcomes[-1].told("rows deleted"))
        self.tell(outcomes)
        return outcomes

    def _each(self, rule: Rule, do: Callable[[Rule, bool], Outcome]) -> Outcome:
        try:
            return do(rule, self._cascades(rule))
        except SlipwayError as error:
            return Outcome(rule, 0, error.problem)

    def _cascades(self, rule: Rule) -> bool:
        """Whether rows of any table may go along; SlipwayError where the rule does not say of which."""
        found = self._send(rule, cascades.tables(rule.place)).splitlines()
        listed = {table.removeprefix("public.") for table in rule.cascades}
        if unsaid := [table for table in found if table not in listed]:
            raise SlipwayError(
                f"rows of {', '.join(unsaid)} would go along, however young (ON DELETE CASCADE), and the "
                "rule does not say so",
                f"List them in its `cascades: [{', '.join(unsaid)}]`, or change the key: docs/data-care.md",
            )
        return bool(found)

    def _count(self, rule: Rule, cascading: bool) -> Outcome:
        if not cascading:
            return Outcome(
                rule, int(self._send(rule, f"SELECT count(*) FROM {rule.place} WHERE {rule.old};"))
            )
        along = cascades.parse(self._send(rule, cascades.count(rule.place, rule.old)))
        return Outcome(rule, along.pop(""), along=along)

    def _delete(self, rule: Rule, cascading: bool) -> Outcome:
        # Rows that somebody holds are left to the next time. In another partition a row may stand at the same
        # place; it is deleted only if it is old, too.
        chosen = (
            f"SELECT ctid FROM {rule.place} WHERE {rule.old} ORDER BY {sql.name(rule.column)} "
            f"LIMIT {self._batch} FOR UPDATE SKIP LOCKED"
        )
        script = (
            f"WITH gone AS (DELETE FROM {rule.place} WHERE ctid = ANY (ARRAY({chosen})) AND {rule.old} "
            "RETURNING 1) SELECT '|' || count(*) FROM gone;"
        )
        deleted, along = 0, Counter[str]()
        while True:
            told = cascades.parse(self._send(rule, cascades.delete(script) if cascading else script))
            count = told.pop("")
            # Of the table itself PostgreSQL has counted both.
            told |= {rule.known: told[rule.known] - count} if rule.known in told else {}
            deleted, along = deleted + count, along + Counter(told)
            if not count:
                return Outcome(rule, deleted, along=along)

    def _send(self, rule: Rule, script: str) -> str:
        """As the owner, as whom migrations run: what hangs on a table must not run as a superuser."""
        owner = self._psql.on(rule.database).as_user(rule.database)
        limits = (
            f"SET statement_timeout = '{_SECONDS - 5}s';\nSET lock_timeout = '5s';\nSET TimeZone = 'UTC';\n"
        )
        answer = owner.send(f"{limits}\n{script}", _SECONDS)
        if not answer.ok:
            raise SlipwayError(
                # Its first line: those that follow may quote what the rows hold.
                (answer.error or str(answer.code)).splitlines()[0],
                "See docs/runbooks/data-care.md",
            )
        return answer.out.strip()

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        lines = metrics(outcomes, self._told(), time.time())
        target = self._root / METRICS
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(target)

    def _told(self) -> dict[str, str]:
        path = self._root / METRICS
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return dict(line.rsplit(" ", 1) for line in text.splitlines())

    def forget(self) -> None:
        """A follower has nothing to tell; what it told when it led would grow old."""
        (self._root / METRICS).unlink(missing_ok=True)


def metrics(outcomes: Sequence[Outcome], before: dict[str, str], now: float) -> Iterator[str]:
    """In Prometheus's text format; a rule that failed keeps the time of its last success."""
    for outcome in outcomes:
        label = f'{{database="{outcome.rule.database}",table="{outcome.rule.table}"}}'
        success, total = f"slipway_retention_success_seconds{label}", f"slipway_retention_rows_total{label}"
        yield f"{total} {int(before.get(total, '0')) + outcome.rows}"
        yield f"slipway_retention_ok{label} {int(not outcome.problem)}"
        along = f"slipway_retention_cascaded_rows_total{label}"
        if outcome.rule.cascades:
            yield f"{along} {int(before.get(along, '0')) + sum(outcome.along.values())}"
        if not outcome.problem:
            yield f"{success} {now:.0f}"
        elif success in before:
            yield f"{success} {before[success]}"


def main(arguments: Sequence[str]) -> int:
    """`STACK delete` from the timer; `STACK due`, for a person at the host, counts and deletes nothing."""
    if len(arguments) != 2 or arguments[1] not in ("delete", "due"):
        print("usage: retention STACK delete|due", file=sys.stderr)
        return 2
    stack, what = arguments
    retention = Retention(Path("/opt") / stack)
    try:
        if not retention.leads():
            retention.forget()
            print("another host leads", flush=True)
            return 0
        if what == "due":
            outcomes = retention.due(retention.rules)
            for it in outcomes:
                print(it.told("rows are old enough"), flush=True)
        else:
            outcomes = retention.delete(retention.rules, lambda line: print(line, flush=True))
    except NotAnsweringError as error:
        print(error, flush=True)
        return TRY_AGAIN
    except SlipwayError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 1 if any(it.problem for it in outcomes) else 0
