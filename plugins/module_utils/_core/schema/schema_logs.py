"""The part of the schema that describes logs: where the lines of all are kept, and who else gets them."""

from __future__ import annotations

from .forms import HOSTS, KEEPER, NAME
from .kinds import Entries, Key, Table, duration, size
from .schema_exports import LOG_EXPORT
from .schema_traces import TRACES

LOGS = Table(
    "logs",
    {
        "hosts": Key(HOSTS, "Host that keeps the lines of all.", None, KEEPER),
        "retention": Key(duration("1d", "3650d"), "How long lines are kept.", "30d"),
        "audit_retention": Key(
            duration("1d", "3650d"),
            "How long those are kept, in a store of their own, that say who did what: of logins and `sudo` "
            'on the hosts, and lines of your services that are JSON with `"audit": true`.',
            "2555d",
        ),
        "disk": Key(
            size("1G", "64T"),
            "Most that lines take on the disk; above it the oldest days go early. Audit lines have no such "
            "bound.",
            "8G",
        ),
        "buffer": Key(
            size("64M", "1T"),
            "Most that the journal takes on every host: what waits there while the store is away.",
            "1G",
        ),
        "memory": Key(size("128M", "64G"), "Memory of each of the two stores.", "512M"),
        "traces": Key(
            TRACES,
            "The ways of single requests through all services, kept beside the lines. Absent: none are kept.",
            None,
        ),
        "exports": Key(
            Entries(NAME, LOG_EXPORT),
            "Who else gets every line, by names of your own: whatever takes OTLP over HTTP. What "
            "cannot be sent waits in each host's journal, within `buffer`.",
            {},
        ),
    },
    may_be_off=True,
)
