"""What goes with rows that are deleted, because it refers to them with ON DELETE CASCADE: SQL texts."""

from __future__ import annotations

from ..postgresql import sql

# As a rule names tables: of a partition the whole table, without the schema `public`.
_NAME = """CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END"""


def _reached(place: str) -> str:
    """`reached`: what a DELETE from a table may come to: its partitions, what inherits, and what cascades."""
    return f"""WITH RECURSIVE reached (relation) AS (
    SELECT {sql.literal(place)}::regclass::oid
    UNION SELECT along FROM reached AS r, LATERAL (
        SELECT inhrelid AS along FROM pg_inherits WHERE inhparent = r.relation
        UNION ALL SELECT relid::oid FROM pg_partition_ancestors(r.relation)
        UNION ALL SELECT conrelid FROM pg_constraint
            WHERE contype = 'f' AND confdeltype = 'c' AND confrelid = r.relation) AS further),
keys AS (SELECT * FROM pg_constraint
    WHERE contype = 'f' AND confdeltype = 'c' AND conparentid = 0 AND confrelid IN (SELECT * FROM reached))"""


def tables(place: str) -> str:
    """Names of the tables of which rows may go with those of a table, one a line."""
    return f"""{_reached(place)}
SELECT DISTINCT {_NAME} FROM keys JOIN pg_class c ON c.oid = coalesce(pg_partition_root(conrelid), conrelid)
    JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1;
"""


def count(place: str, condition: str) -> str:
    """How many rows of which table would go, those of the table itself first: `|<rows>`, `<table>|<rows>`.

    Rows are followed along the keys, each once, until there are no further ones; nothing is deleted.
    """
    return f"""BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE TEMPORARY TABLE slipway_gone (relation oid, at tid, step int, PRIMARY KEY (relation, at))
    ON COMMIT DROP;
INSERT INTO slipway_gone SELECT tableoid, ctid, 0 FROM {place} WHERE {condition};
CREATE TEMPORARY TABLE slipway_keys ON COMMIT DROP AS {_reached(place)}
SELECT conrelid::regclass AS child, confrelid::regclass AS parent, (
    SELECT string_agg(format('c.%I = p.%I', own.attname, its.attname), ' AND ')
    FROM unnest(conkey, confkey) AS pair(own, its) JOIN pg_attribute AS own
        ON own.attrelid = conrelid AND own.attnum = pair.own
        JOIN pg_attribute AS its ON its.attrelid = confrelid AND its.attnum = pair.its) AS matches
FROM keys;
DO $$
  DECLARE it record; further bigint; added bigint; step int := 0;
  BEGIN
    LOOP
      further := 0;
      FOR it IN SELECT * FROM slipway_keys LOOP
        EXECUTE format('INSERT INTO slipway_gone SELECT c.tableoid, c.ctid, $1 + 1 '
          'FROM %s AS c JOIN %s AS p ON %s '
          'JOIN slipway_gone AS g ON g.relation = p.tableoid AND g.at = p.ctid AND g.step = $1 '
          'ON CONFLICT DO NOTHING', it.child, it.parent, it.matches) USING step;
        GET DIAGNOSTICS added = ROW_COUNT;
        further := further + added;
      END LOOP;
      EXIT WHEN further = 0;
      step := step + 1;
    END LOOP;
  END
$$;
SELECT '|' || count(*) FROM slipway_gone WHERE step = 0;
SELECT {_NAME} || '|' || count(*) FROM slipway_gone AS g
    JOIN pg_class c ON c.oid = coalesce(pg_partition_root(g.relation), g.relation)
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE step > 0 GROUP BY n.nspname, c.relname ORDER BY 1;
ROLLBACK;
"""


def delete(script: str) -> str:
    """A script that deletes and tells of how many rows, and in the same form what went with them.

    PostgreSQL counts what a transaction deletes in each table, whoever asked for it.
    """
    return f"""BEGIN;
{script}
SELECT {_NAME} || '|' || sum(pg_stat_get_xact_tuples_deleted(each.oid)) FROM pg_class AS each
    JOIN pg_class c ON c.oid = coalesce(pg_partition_root(each.oid), each.oid)
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE each.relkind = 'r' AND each.relpersistence <> 't' AND pg_stat_get_xact_tuples_deleted(each.oid) > 0
    GROUP BY n.nspname, c.relname ORDER BY 1;
COMMIT;
"""


def parse(out: str) -> dict[str, int]:
    """Rows by table; of the table itself under ""."""
    pairs = [line.rpartition("|") for line in out.splitlines() if "|" in line]
    return {table: int(rows) for table, _bar, rows in pairs}
