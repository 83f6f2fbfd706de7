"""The part of the schema that describes backups."""

from __future__ import annotations

from .forms import (
    ACCOUNT,
    BUCKET,
    DATABASE,
    DOMAIN,
    ENDPOINT,
    FINGERPRINT,
    HOSTS,
    PORT,
    REGION,
    SECRET,
    STATEMENT,
    STRATEGY,
    TIME_OF_DAY,
    VOLUME,
    VOLUME_PATH,
)
from .kinds import Boolean, Choice, Integer, Key, ListOf, Table, duration, size

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Hours between backups; each divides a day, so that the times are the same every day.
PACES = ("24h", "12h", "8h", "6h", "4h", "3h", "2h", "1h")

ASSERTION = Table(
    "assertion",
    {
        "name": Key(STRATEGY, "What it is called in reports."),
        "database": Key(DATABASE, "Database to ask."),
        "sql": Key(STATEMENT, "One query; the restored copy must answer true."),
    },
)

S3 = Table(
    "S3 store",
    {
        "endpoint": Key(
            ENDPOINT,
            "Where it answers, over HTTPS, with a certificate that the host of the backups trusts.",
        ),
        "bucket": Key(BUCKET, "Bucket, which must be there."),
        "region": Key(REGION, "Region.", "us-east-1"),
        "path_style": Key(
            Boolean(), "Whether the bucket stands in the path, as most stores other than AWS want it.", False
        ),
        "access_key": Key(SECRET, "Declared secret with the access key."),
        "secret_key": Key(SECRET, "Declared secret with the secret key."),
    },
)

SFTP = Table(
    "SFTP server",
    {
        "host": Key(DOMAIN, "Its name."),
        "port": Key(PORT, "Its port.", 22),
        "user": Key(ACCOUNT, "User there."),
        "private_key": Key(SECRET, "Declared secret with the private key, PEM, without a passphrase."),
        "fingerprint": Key(FINGERPRINT, "Its host key: `ssh-keyscan`, base64-decoded, through `sha256sum`."),
    },
)

SECOND = Table(
    "second repository",
    {
        "path": Key(VOLUME_PATH, "Folder, or prefix in the bucket.", None, "`/` and the stack's name"),
        "s3": Key(S3, "An S3-compatible store; either this or `sftp`.", None),
        "sftp": Key(SFTP, "An SFTP server; either this or `s3`.", None),
    },
)

ARCHIVE = Table(
    "archive",
    {
        "at": Key(TIME_OF_DAY, "When each host archives, with up to 15 minutes of jitter.", "03:00"),
        "keep_days": Key(
            Integer(1, 3650), "Days that an archive is kept. The newest of each host stays, however old.", 7
        ),
        "volumes": Key(
            ListOf(VOLUME, distinct=True),
            "Named volumes to archive, as they are while their containers run: `<service>.<volume>`, "
            "`alertmanager` (silences) or `prometheus`.",
            ["alertmanager"],
        ),
    },
    may_be_off=True,
)

BACKUP = Table(
    "backup",
    {
        "hosts": Key(
            HOSTS,
            "Host that keeps the backups. Best one without a database: they must outlive what they are of.",
            None,
            "the third host, or the last of fewer",
        ),
        "at": Key(TIME_OF_DAY, "When the day's backup begins, with up to 15 minutes of jitter.", "02:00"),
        "every": Key(
            Choice(PACES),
            "How often. At `at` one is differential, or full once a week; those between are incremental.",
            "24h",
        ),
        "full_on": Key(Choice(DAYS), "Day of the full backup.", "sunday"),
        "keep_days": Key(
            Integer(1, 3650),
            "Days that any moment can be returned to; what is only needed for earlier ones is deleted.",
            30,
        ),
        "keep_full": Key(Integer(1, 1000), "Full backups to keep, in place of `keep_days`.", None),
        "verify_at": Key(TIME_OF_DAY, "When the newest backup is restored and tried, with jitter.", "05:00"),
        "assertions": Key(ListOf(ASSERTION), "Your own questions to a restored copy.", []),
        "second": Key(
            SECOND, "A second place, elsewhere, with all the first has: backups, WAL, and archives.", None
        ),
        "archive": Key(
            ARCHIVE,
            "What is no database, encrypted and beside the backups: a snapshot of Redis, each host's "
            "configuration with its secrets and certificates, volumes. Absent: there is none.",
            None,
        ),
        "queue": Key(
            size("256M", "4T"),
            "WAL that may wait for a repository that is away; above it the oldest is given up: the databases "
            "go on, and what was given up cannot be returned to.",
            "4G",
        ),
        "wal_every": Key(
            duration("10s", "1h"),
            "After this time written WAL is sent even if a segment is not full: most that a disaster costs.",
            "60s",
        ),
        "processes": Key(Integer(1, 32), "Processes, and CPU cores, that a backup may use.", 2),
        "memory": Key(size("128M", "64G"), "Memory of the repository's container.", "512M"),
    },
    may_be_off=True,
)
