"""What a report asks PostgreSQL: catalogs and statistics only, one JSON object a question."""

from __future__ import annotations

import json
from typing import Any

from .postgres import Psql

SERVER = """
SELECT json_build_object(
  'version', current_setting('server_version'),
  'autovacuum', current_setting('autovacuum'),
  'freeze_max', current_setting('autovacuum_freeze_max_age')::bigint,
  'multixact_freeze_max', current_setting('autovacuum_multixact_freeze_max_age')::bigint,
  'pending', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'databases', (SELECT json_agg(json_build_object(
      'name', datname, 'bytes', pg_database_size(oid), 'age', age(datfrozenxid),
      'multixact_age', mxid_age(datminmxid)) ORDER BY datname) FROM pg_database WHERE datallowconn),
  'holders', (SELECT coalesce(json_agg(json_build_object('what', what, 'age', age) ORDER BY age DESC), '[]')
    FROM (
      SELECT format('session %s of %s', pid, coalesce(usename, backend_type)) AS what,
             age(backend_xmin) AS age
        FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
      UNION ALL SELECT format('prepared transaction %s', gid), age(transaction) FROM pg_prepared_xacts
      UNION ALL SELECT format('replication slot %s', slot_name), greatest(age(xmin), age(catalog_xmin))
        FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AS held),
  'roles', (SELECT json_agg(json_build_object(
      'name', rolname, 'super', rolsuper, 'login', rolcanlogin, 'replication', rolreplication,
      'bypass_rls', rolbypassrls, 'connections', rolconnlimit,
      'valid_until', CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil END,
      'member_of', ARRAY(SELECT whole.rolname FROM pg_auth_members AS m
                         JOIN pg_roles AS whole ON whole.oid = m.roleid
                         WHERE m.member = pg_roles.oid ORDER BY 1)) ORDER BY rolname)
    FROM pg_roles WHERE rolname !~ '^pg_'));
"""

# A table's pages against those its rows would fill: header 24, line pointer 4, the rest aligned to 8.
INSIDE = """
WITH widths AS (
  SELECT schemaname, tablename, sum((1 - null_frac) * avg_width) AS width FROM pg_stats
  WHERE NOT inherited GROUP BY 1, 2
), tables AS (
  SELECT format('%I.%I', s.schemaname, s.relname) AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
         s.n_mod_since_analyze AS changed, greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,
         greatest(s.last_analyze, s.last_autoanalyze) AS analyzed, c.relpages::bigint * 8192 AS bytes,
         CASE WHEN w.width IS NULL OR c.reltuples <= 0 THEN 0
              ELSE greatest(0, c.relpages - ceil(c.reltuples / greatest(1, floor(
                     8168 / (28 + ceil(w.width / 8) * 8)))))::bigint * 8192 END AS wasted
  FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid
  LEFT JOIN widths AS w ON w.schemaname = s.schemaname AND w.tablename = s.relname
)
SELECT json_build_object(
  'extensions', (SELECT coalesce(json_agg(json_build_object(
      'name', extname, 'version', extversion, 'available', default_version) ORDER BY extname), '[]')
    FROM pg_extension LEFT JOIN pg_available_extensions ON name = extname),
  'tables', (SELECT coalesce(json_agg(row_to_json(tables)), '[]') FROM tables
             WHERE dead > 1000 OR changed > 1000 OR wasted > 1048576));
"""


def ask(psql: Psql) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Of the whole server, and of each database by its name."""
    server: dict[str, Any] = json.loads(psql.ask(SERVER))
    names = [str(it["name"]) for it in server["databases"]]
    return server, {name: json.loads(psql.on(name).ask(INSIDE)) for name in names}
