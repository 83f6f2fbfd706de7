"""A table that is dropped on purpose, and comes back from a copy that was restored beside what serves."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SlipwayError
from ..postgresql.postgres import Psql
from ..run import Run

# In the database `postgres`, which no application uses.
TABLE = "public.slipway_drill"
ROWS = 100_000
_MAKE = f"""DROP TABLE IF EXISTS {TABLE};
CREATE TABLE {TABLE} AS
    SELECT n, md5(n::text || clock_timestamp()) AS content FROM generate_series(1, {ROWS}) n;"""
_CONTENT = f"SELECT count(*) || ' ' || md5(string_agg(content, '' ORDER BY n)) FROM {TABLE};"
# A second on each side: the moment to return to lies between two commits, whatever the clock's grain.
_MOMENT = """SELECT pg_sleep(1);
SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"');
SELECT pg_sleep(1);"""
# Longer than a copy of this table can take.
_SECONDS = 300


@dataclass(frozen=True)
class Dropped:
    """content: number of rows and a digest of all. moment: after they were written, before they were gone."""

    content: str
    moment: str
    at: float


def refuse_beside(run: Run, container: str) -> None:
    """A restored copy that is there may be somebody's way to lost data: the drill would remove it."""
    copy = f"{container}-restore"
    if not run(["docker", "container", "inspect", copy])[0]:
        raise SlipwayError(
            f"the restored copy {copy} is on this host, and the drill would remove it",
            "When nobody needs it any more: playbooks/restore.yml -e side=removed",
        )


def drop(leader: Psql) -> Dropped:
    """Fill a table, wait, and drop it, as somebody does who meant another one."""
    leader.ask(_MAKE)
    content = leader.ask(_CONTENT)
    moment = leader.ask(_MOMENT).strip()
    at = leader.ask(f"DROP TABLE {TABLE}; SELECT extract(epoch FROM clock_timestamp());")
    return Dropped(content, moment, float(at))


def take_back(run: Run, leader: Psql, copy: str, content: str) -> None:
    """Bring the table from a restored copy into what serves, see that all is there, and clear up.

    copy: the container in which it answers. content: what `drop` said.
    """
    dump = ["docker", "exec", copy, "pg_dump", "-h", "/tmp", "-U", "postgres", "-d", leader.database]
    code, out, err = run([*dump, f"--table={TABLE}"])
    if code:
        raise SlipwayError(
            f"the copy in {copy} has no table {TABLE}: {err.strip()[-200:]}",
            "It should be of the second before the table was dropped: docs/runbooks/backups.md",
        )
    loaded = leader.send(out, _SECONDS)
    if not loaded.ok:
        raise SlipwayError(
            f"the table does not go into {leader.container}: {loaded.error}", "See docs/runbooks/backups.md"
        )
    found = leader.ask(_CONTENT)
    leader.ask(f"DROP TABLE {TABLE};")
    if found != content:
        raise SlipwayError(
            f"the table had rows and digest {content}, and came back with {found}",
            "Prove the backups (`make verify`), and see docs/runbooks/backups.md",
        )
