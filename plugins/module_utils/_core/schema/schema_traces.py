"""The part of the schema that describes traces: what is kept of them, and who else gets them."""

from __future__ import annotations

from .forms import NAME
from .kinds import Entries, Integer, Key, Table, duration, latency, size
from .schema_exports import TRACE_EXPORT

TRACES = Table(
    "traces",
    {
        "share": Key(
            Integer(0, 100),
            "Percent of the traces that are kept. Those with an error, and slow ones, are kept in any case.",
            10,
        ),
        "slow": Key(latency("1ms", "1h"), "A trace with a span that takes longer than this is slow.", "1s"),
        "wait": Key(
            latency("1s", "1m"), "Time from a trace's first span until it is judged as a whole.", "5s"
        ),
        "retention": Key(duration("1d", "3650d"), "How long traces are kept.", "7d"),
        "disk": Key(
            size("1G", "64T"),
            "Most that they take on the disk; above it the oldest go, but for the last two days.",
            "4G",
        ),
        "memory": Key(
            size("128M", "64G"),
            "Memory of the store of traces, and as much of the collector beside it, which holds traces until "
            "they are judged. A collector elsewhere has 128 MB.",
            "256M",
        ),
        "most": Key(
            Integer(1, 1_000_000),
            "Most spans that are kept in a second, over an hour; one above 1 KB counts as several. What is "
            "above is left out: slow traces first, then the share, those with errors last.",
            None,
            "what fills `disk` in three days, 82 with 4G",
        ),
        "exports": Key(
            Entries(NAME, TRACE_EXPORT),
            "Who else gets what is kept, by names of your own: whatever speaks OTLP over HTTP.",
            {},
        ),
    },
    may_be_off=True,
)
