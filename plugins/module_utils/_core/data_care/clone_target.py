"""A masked copy takes the place of a database: restored beside it, counted, and swapped by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SlipwayError
from ..postgresql import sql
from ..postgresql.postgres import Psql, exists
from ..retry import Patience
from ..run import Run
from .clone_names import before, beside
from .clone_source import digest

# A restore reads a large table for as long as it takes.
_NO_LIMIT = 0
_FACTS = """SELECT json_build_object('owner', pg_get_userbyid(datdba), 'bytes', pg_database_size(oid))
FROM pg_database WHERE datname = {};
"""
_EXACT = """SELECT format('GRANT CONNECT ON DATABASE %I TO %I', {fresh}, pg_get_userbyid(grantee))
    FROM pg_database, aclexplode(datacl)
    WHERE datname = {old} AND grantee <> 0 AND privilege_type = 'CONNECT' AND grantee <> datdba
UNION ALL SELECT format('ALTER %s SET %I = %L', CASE WHEN setrole = 0 THEN format('DATABASE %I', {fresh})
        ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(setrole), {fresh}) END,
        split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1))
    FROM pg_db_role_setting, unnest(setconfig) AS setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = {old})
\\gexec
"""
_COUNTS = """SELECT count(*) FROM {};"""


class Target:
    """One database of the environment that gets the copy, on the member that leads."""

    def __init__(self, run: Run, psql: Psql, database: str) -> None:
        self._run = run
        self._psql = psql
        self._database = database
        self._fresh, self._old = beside(database), before(database)

    def restore(self, path: Path, told: Mapping[str, Any]) -> str:
        """Restore the dump beside the database, and count it; what serves is not touched."""
        if digest(path) != told["sha256"]:
            raise SlipwayError(
                f"the dump of {self._database} was damaged on its way", "Run this again; nothing was changed"
            )
        owner = self._owner()
        self._room(int(told["bytes"]))
        self.discard()
        fresh, old = map(sql.literal, (self._fresh, self._database))
        name = sql.name(self._fresh)
        self._send(
            f"CREATE DATABASE {name} OWNER {sql.name(owner)} ENCODING 'UTF8' TEMPLATE template0;\n"
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;\n{_EXACT.format(fresh=fresh, old=old)}"
        )
        inside = self._psql.on(self._fresh)
        extensions = "".join(
            f"CREATE EXTENSION IF NOT EXISTS {sql.name(one)};\n" for one in told["extensions"]
        )
        self._send(f"{extensions}SELECT;", inside)
        self._load(path, owner)
        self._send("ANALYZE;", inside.as_user(owner))
        return self._counted(inside, told["rows"])

    def swap(self, patience: Patience, *, keep: bool) -> None:
        """Put the copy in its place, in one transaction: whoever asks finds the old data or the new.

        keep: what it has replaced stays until the next copy.
        """
        if not exists(self._psql, self._fresh):
            raise SlipwayError(
                f"there is no copy of {self._database} to put in its place: another member leads now",
                "Run this again; what serves is as it was",
            )
        # Sessions of applications come back at once; those that come while it is renamed wait for it.
        script = (
            f"DROP DATABASE IF EXISTS {sql.name(self._old)} WITH (FORCE);\n"
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN "
            f"({sql.literal(self._database)}, {sql.literal(self._fresh)}) AND pid <> pg_backend_pid();\n"
            f"BEGIN;\nALTER DATABASE {sql.name(self._database)} RENAME TO {sql.name(self._old)};\n"
            f"ALTER DATABASE {sql.name(self._fresh)} RENAME TO {sql.name(self._database)};\nCOMMIT;\n"
        )
        # 55006: somebody was quicker.
        while (answer := self._psql.send(script, 60)).state == "55006" and patience.again():
            continue
        if not answer.ok:
            raise SlipwayError(
                f"{self._database} cannot be replaced: {answer.error or answer.code}",
                "Run this again; what serves is as it was",
            )
        if not keep:
            self._send(f"DROP DATABASE IF EXISTS {sql.name(self._old)} WITH (FORCE);")

    def discard(self) -> None:
        """Remove a copy that has not come to its place."""
        self._send(f"DROP DATABASE IF EXISTS {sql.name(self._fresh)} WITH (FORCE);")

    def _owner(self) -> str:
        found = self._psql.ask(_FACTS.format(sql.literal(self._database)))
        if not found:
            raise SlipwayError(
                f"the target has no database {self._database}", "Deploy it first: its roles come with that"
            )
        return str(json.loads(found)["owner"])

    def _room(self, needed: int) -> None:
        ask = ["docker", "exec", self._psql.container, "df", "--output=avail", "-B1", "/var/lib/postgresql"]
        code, out, err = self._run(ask)
        if code:
            raise SlipwayError(f"the disk cannot be measured: {err.strip()}", "Check `docker ps`")
        # Its indexes are built, and it is written into the WAL, too.
        free, wanted = int(out.split()[-1]), 2 * needed + (256 << 20)
        if free < wanted:
            raise SlipwayError(
                f"the disk is full: {wanted >> 20} MB are needed, {free >> 20} MB are free",
                "Make room on the target's hosts (`df -h /var/lib/docker`); what serves is untouched",
            )

    def _load(self, path: Path, owner: str) -> None:
        """As the owner, who may not do more than it could here already."""
        tool = "pg_restore --exit-on-error --no-owner --no-privileges --no-comments --no-password"
        script = f'exec docker exec -i -u postgres "$1" {tool} -U "$2" -d "$3" < "$4"'
        call = ["sh", "-ec", script, "sh", self._psql.container, owner, self._fresh, str(path)]
        code, _out, err = self._run(call)
        if code:
            told = [line for line in err.splitlines() if "error" in line.lower()] or err.splitlines()[-1:]
            self.discard()
            raise SlipwayError(
                f"{self._database} cannot be restored: {told[0] if told else code}",
                "Correct the rules of masking or the target's roles, and run this again; what serves is "
                "untouched",
            )

    def _counted(self, inside: Psql, rows: Mapping[str, int]) -> str:
        wrong = []
        for table, count in rows.items():
            schema, _dot, relation = table.rpartition(".")
            place = f"{sql.name(schema or 'public')}.{sql.name(relation)}"
            found = int(self._send(_COUNTS.format(place), inside).strip())
            if found != int(count):
                wrong.append(f"{table} has {found} rows of {count}")
        if wrong:
            self.discard()
            raise SlipwayError(
                f"the copy of {self._database} is not whole: {', '.join(wrong)}",
                "Run this again; what serves is untouched",
            )
        return f"{self._database}: {sum(map(int, rows.values()))} rows in {len(rows)} tables"

    def _send(self, script: str, psql: Psql | None = None) -> str:
        answer = (psql or self._psql).send(script, _NO_LIMIT)
        if not answer.ok:
            raise SlipwayError(
                f"{self._database}: {answer.error or answer.code}", "What serves is as it was; run this again"
            )
        return answer.out


def follow(psql: Psql, databases: Sequence[str], patience: Patience) -> int:
    """On a follower: wait for the swap, and end sessions that still read what was replaced; how many."""
    ended = 0
    for name in databases:
        # A session stays in its database, under whatever name that has now.
        query = f"SELECT count(*) FROM pg_database WHERE datname = {sql.literal(beside(name))};"
        while psql.ask(query) != "0":
            if not patience.again():
                raise SlipwayError(
                    f"the member in {psql.container} does not follow: it still has {beside(name)}",
                    "See docs/runbooks/postgres.md; its readers see the old data until then",
                )
        ended += int(
            psql.ask(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                f"WHERE datname = {sql.literal(before(name))};"
            )
        )
    return ended
