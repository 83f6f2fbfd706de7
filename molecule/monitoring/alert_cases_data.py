"""Faults of PostgreSQL, what stands before it, what it votes with, and of Redis."""

from __future__ import annotations

from alert_case import Act, Case, Watched

COMPOSE = "docker compose --file /opt/wayfare/current/docker-compose.prod.yml up --detach"
_PSQL = "docker exec wayfare-postgres-1 psql -U postgres"
_AS = "docker exec --detach --env PGAPPNAME=alert-drill-{} wayfare-postgres-1"
_DOWN = "No leader, or a member is down"
_OPEN, _LONG, _MANY = "open", "long", "many"


def _pids(who: str, where: str, more: str = "") -> Act:
    """Of sessions that the drill has opened."""
    query = f"select pid from pg_stat_activity where application_name = 'alert-drill-{who}'{more}"
    return Act(where, f'{_PSQL} -At -c "{query}"')


def _ended(who: str, where: str) -> Act:
    query = (
        f"select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'alert-drill-{who}'"
    )
    return Act(where, f'{_PSQL} -c "{query}"')


POSTGRES = Case(
    "postgres",
    "PostgreSQL and its Patroni are stopped on every host, the leader last",
    (
        Watched("PostgresNoLeader", _DOWN),
        # Of a host that does not lose its exporter beside this.
        Watched("PostgresDown", _DOWN, {"host": "<monitoring>"}),
    ),
    (Act("replicas", "docker stop wayfare-postgres-1"), Act("leader", "docker stop wayfare-postgres-1")),
    (Act("all", f"{COMPOSE} postgres"),),
    (Act("all", "docker start wayfare-postgres-1"),),
    told=300,
    resolved=300,
)
REPLICATION = Case(
    "replication",
    "a replica does not reach the leader's PostgreSQL (a firewall's rule)",
    (Watched("ReplicationStopped", "A replica lags or does not stream", {"host": "<replica>"}),),
    (
        Act(
            "replica",
            "printf 'table inet slipway_drill {\\n"
            " chain in { type filter hook prerouting priority -500; %s; }\\n"
            " chain out { type filter hook postrouting priority 500; %s; }\\n}\\n' "
            "'ip saddr LEADER tcp sport 5432 drop' 'ip daddr LEADER tcp dport 5432 drop' | nft -f -",
            {"LEADER": "<leader's address>"},
        ),
    ),
    (Act("replica", "sudo nft delete table inet NAME", {"NAME": "slipway_drill"}),),
    (
        Act(
            "replica",
            "! nft list table inet slipway_drill > /dev/null 2>&1 || nft delete table inet slipway_drill",
        ),
    ),
    told=300,
)
PGBOUNCER = Case(
    "pgbouncer",
    "PgBouncer is stopped beside a replica",
    (Watched("PgbouncerDown", "It does not answer", {"host": "<replica>"}),),
    (Act("replica", "docker stop wayfare-pgbouncer-1"),),
    (Act("replica", f"{COMPOSE} pgbouncer"),),
    (Act("replica", "docker start wayfare-pgbouncer-1"),),
)
CONNECTIONS = Case(
    "connections",
    "45 of 100 connections of a replica are taken",
    (Watched("PostgresConnectionsHigh", "Too many connections", {"host": "<replica>"}),),
    (
        Act(
            "replica",
            f'{_AS.format(_MANY)} sh -c \'echo "select pg_sleep(1200)" > /tmp/alert-drill.sql;'
            " exec /usr/lib/postgresql/17/bin/pgbench --no-vacuum --client=45 --transactions=1"
            " --file=/tmp/alert-drill.sql -U postgres postgres'",
        ),
    ),
    (
        Act(
            "replica",
            f'{_PSQL} -c "select pg_terminate_backend(PID)"',
            # As many as it takes, not one more.
            {"PID": _pids(_MANY, "replica", " limit 25")},
        ),
    ),
    (_ended(_MANY, "replica"),),
    told=540,
    shortened="`thresholds.connections.critical` is 40 %, not 90 %",
)
LONG_QUERY = Case(
    "query",
    "a query of a client runs and runs",
    (Watched("PostgresQueryRunsLong", "Slow queries", {"host": "<leader>", "datname": "postgres"}),),
    (Act("leader", f"{_AS.format(_LONG)} psql -U postgres -c 'select pg_sleep(1200)'"),),
    (
        Act(
            "leader",
            f'{_PSQL} -c "select pg_cancel_backend(PID)"',
            {"PID": _pids(_LONG, "leader")},
        ),
    ),
    (_ended(_LONG, "leader"),),
    shortened="`thresholds.query.critical` is 20 s, not 30 min",
)
OPEN_TRANSACTION = Case(
    "transaction",
    "a session idles in a transaction, and another one waits for its lock",
    (
        Watched(
            "PostgresIdleInTransaction",
            "Transactions that stay open",
            {"host": "<leader>", "datname": "postgres"},
        ),
        Watched(
            "PostgresBlockedByLocks",
            "Sessions that wait for locks",
            {"host": "<leader>", "datname": "postgres"},
        ),
    ),
    (
        Act(
            "leader",
            f'{_AS.format(_OPEN)} sh -c \'(echo "begin; select pg_advisory_xact_lock(4711);"; sleep 1200)'
            " | psql -U postgres'",
        ),
        # The first one must have the lock by then.
        Act("leader", f"sleep 3; {_AS.format(_OPEN)} psql -U postgres -c 'select pg_advisory_lock(4711)'"),
    ),
    (
        Act(
            "leader",
            f'{_PSQL} -c "select pg_terminate_backend(PID)"',
            {"PID": _pids(_OPEN, "leader", " and state = 'idle in transaction'")},
        ),
    ),
    (_ended(_OPEN, "leader"),),
    shortened="`thresholds.idle_in_transaction.critical` is 20 s, not 30 min; `lock_wait`, 20 s, not 5 min",
)
ETCD = Case(
    "etcd",
    "two of three members of etcd are stopped",
    (Watched("EtcdNoLeader", "A member is missing, or there is no leader", {"host": "<last>"}),),
    (Act("all but last", "docker stop wayfare-etcd-1"),),
    (Act("all but last", f"{COMPOSE} etcd"),),
    (Act("all but last", "docker start wayfare-etcd-1"),),
)
REDIS = Case(
    "redis",
    "all sentinels and Redis's master are stopped",
    (
        Watched("RedisNoMaster", "Redis is down, or there is no master"),
        Watched("RedisDown", "Redis is down, or there is no master", {"host": "<redis master>"}),
        Watched("SentinelsMissing", "Sentinels are missing"),
    ),
    (Act("all", "docker stop wayfare-sentinel-1"), Act("redis master", "docker stop wayfare-redis-1")),
    (Act("all", f"{COMPOSE} sentinel redis"),),
    (Act("all", "docker start wayfare-sentinel-1 wayfare-redis-1"),),
)
