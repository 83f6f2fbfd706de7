"""Faults of what is kept: backups, WAL, and rows that must not be kept."""

from __future__ import annotations

from alert_case import NOTE, Act, Case, Watched

COMPOSE = "docker compose --file /opt/wayfare/current/docker-compose.prod.yml up --detach"
_METRICS = "/opt/wayfare/state/metrics"
_REPOSITORY = "/var/lib/pgbackrest"


def _dated_back(name: str, metric: str, hours: int) -> str:
    """What a host tells of a metric becomes that many hours old; `_as_told` undoes it."""
    path, then = f"{_METRICS}/{name}", f"$(($(date +%s) - {hours * 3600}))"
    # In one step, as its writer does, and readable for node-exporter.
    return (
        f'cp {path} {NOTE}.{name}.told && sed -E "s/^({metric}[^ ]*) .*/\\1 {then}/" {path} > {NOTE}.{name}'
        f" && cp {NOTE}.{name} {path}.drill && chmod 0644 {path}.drill && mv {path}.drill {path}"
    )


def _as_told(name: str) -> str:
    """Where nobody has told it anew."""
    path, note = f"{_METRICS}/{name}", f"{NOTE}.{name}"
    return f"! cmp --silent {note} {path} || cp {note}.told {path}; rm -f {note} {note}.told"


WAL = Case(
    "wal",
    "the backup repository is stopped, and WAL is written",
    (Watched("WalNotArchived", "WAL is not archived", {"host": "<leader>"}),),
    (
        Act("backup", "docker stop wayfare-backup-repository-1"),
        Act(
            "leader",
            "docker exec wayfare-postgres-1 psql -U postgres"
            " -c \"select pg_logical_emit_message(true, 'alert-drill', 'x')\" -c 'select pg_switch_wal()'",
        ),
    ),
    (Act("backup", f"{COMPOSE} backup-repository"),),
    (Act("backup", "docker start wayfare-backup-repository-1"),),
    told=780,
    # Ten minutes back is what its rule looks.
    resolved=900,
)
BACKUP_OLD = Case(
    "backup-old",
    "the backup host tells that its newest backup is 7 hours old",
    (Watched("BackupTooOld", "A backup failed, or is too old", {"host": "<backup>"}),),
    (Act("backup", _dated_back("backup.prom", "slipway_backup_newest_seconds", 7)),),
    (Act("checkout", "make backup ENV=production"),),
    (Act("backup", _as_told("backup.prom")),),
    told=900,
    shortened="what the host tells was dated back (a backup every 4 hours is too old after 6)",
)
# Damaged in the repository itself: the runbook removes that backup. What it held is kept until it has.
BACKUP_SPOILED = Case(
    "backup-spoiled",
    "a file of the newest backup is damaged",
    (Watched("BackupNotProven", "The newest backup is not sound", {"host": "<backup>"}),),
    (
        Act(
            "backup",
            f"docker exec wayfare-backup-repository-1 sh -ec 'cd {_REPOSITORY}/backup/wayfare;"
            " label=$(ls -d 2*F* | sort | tail -1);"
            ' file=$(find "$label" -type f ! -name "backup.manifest*" -size -64M -printf "%s %p\\n"'
            ' | sort -n | tail -1 | cut -d" " -f2-);'
            f' cp "$file" {_REPOSITORY}/alert-drill; echo "$label $file" > {_REPOSITORY}/alert-drill.note;'
            ' printf damaged | dd of="$file" bs=1 seek=4096 conv=notrunc status=none;'
            f" cat {_REPOSITORY}/alert-drill.note' > {NOTE}.spoiled",
        ),
        # It is proven once a day: nobody waits for that.
        Act("checkout", "! make verify ENV=production"),
    ),
    (
        Act("checkout", "make backup ENV=production TYPE=full"),
        Act(
            "backup",
            "docker exec wayfare-backup-repository-1 pgbackrest --stanza=wayfare --repo=1 --set=LABEL expire",
            {"LABEL": Act("backup", f"cut -d' ' -f1 {NOTE}.spoiled")},
        ),
        Act("checkout", "make verify ENV=production"),
    ),
    (
        Act(
            "backup",
            f"docker exec wayfare-backup-repository-1 sh -ec 'cd {_REPOSITORY}/backup/wayfare;"
            f' [ ! -e {_REPOSITORY}/alert-drill ] || file=$(cut -d" " -f2- {_REPOSITORY}/alert-drill.note);'
            f' [ -z "$file" ] || [ ! -e "$file" ] || cp {_REPOSITORY}/alert-drill "$file";'
            f" rm -f {_REPOSITORY}/alert-drill {_REPOSITORY}/alert-drill.note'; rm -f {NOTE}.spoiled",
        ),
    ),
    told=600,
    shortened="the proof that finds it, once a day, was begun at once",
    # What another fault has left, a hole in the WAL for example, is no part of this.
    before=(Act("checkout", "make verify ENV=production"),),
)
RETENTION = Case(
    "retention",
    "the leader tells that rows were deleted 51 hours ago",
    (Watched("RetentionOverdue", "RetentionOverdue, RetentionSilent", {"database": "wayfare"}),),
    (Act("leader", _dated_back("retention.prom", "slipway_retention_success_seconds", 51)),),
    (Act("leader", "systemctl start slipway-retention"),),
    (Act("leader", _as_told("retention.prom")),),
    told=900,
    shortened="what the host tells was dated back",
    # The leader writes what is to be told, the others forget what they told when they led.
    # One that was begun often of late is begun all the same.
    before=(Act("all", "systemctl reset-failed 'slipway-retention*' && systemctl start slipway-retention"),),
)
