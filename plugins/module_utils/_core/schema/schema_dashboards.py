"""What a dashboard file can say."""

from __future__ import annotations

from .forms import QUERY
from .kinds import Boolean, Choice, Integer, Key, ListOf, Number, Table, Text

KINDS = ("time series", "stat", "gauge", "table")
# What they are called -> what Grafana calls them.
UNITS = {
    "number": "short",
    "percent": "percent",
    "seconds": "s",
    "bytes": "bytes",
    "bytes per second": "Bps",
    "per second": "ops",
    "per minute": "opm",
    "euros": "currencyEUR",
    "cores": "short",
    "yes or no": "bool_yes_no",
}
VARIABLES = ("host", "service")
# Parts that a stack may lack.
PARTS = ("archive", "backup", "exports", "logs", "outside", "postgres", "redis", "registry", "routes", "slo")
# Settings of stack/components/monitoring/alerts/thresholds -> what brings their numbers into a panel's unit.
LIMITS = {
    "cpu": 1.0,
    "memory": 1.0,
    "disk": 1.0,
    "errors": 1.0,
    "connections": 1.0,
    "cache_hits": 1.0,
    "certificate_days": 86400.0,
    "latency": 0.001,
    "query": 1.0,
    "idle_in_transaction": 1.0,
    "lock_wait": 1.0,
}
_ANY = 1e15

_LINE = Text(r"[^\x00-\x1f\x7f]{1,120}", "a line of text", "'Requests'")
_LEGEND = Text(r"[^\x00-\x1f\x7f]{0,120}", "a line of text with labels in double braces", "'{{host}}'")
_LABEL = Text(r"[A-Za-z_][A-Za-z0-9_]*", "a label's name", "host")
_NEEDS = Key(Choice(PARTS), "Only where the stack has this part.", None)

QUERY_TABLE = Table(
    "query",
    {
        "query": Key(
            QUERY,
            'PromQL. `$host` and `$service` stand for what is chosen, as in `{host=~"$host"}`; '
            "`$__rate_interval` for a range that holds a few samples.",
        ),
        "legend": Key(_LEGEND, "What its lines are called; `{{label}}` is that label's value.", ""),
    },
)

PANEL = Table(
    "panel",
    {
        "title": Key(_LINE, "What it shows."),
        "kind": Key(Choice(KINDS), "How.", "time series"),
        "unit": Key(Choice(tuple(UNITS)), "Of what.", "number"),
        "queries": Key(ListOf(QUERY_TABLE, least=1), "What it asks. A table asks once."),
        "columns": Key(ListOf(_LABEL, distinct=True), "Labels that a table shows, before the value.", []),
        "limits": Key(
            Choice(tuple(LIMITS)), "Setting of the stack's alerts whose numbers it is coloured by.", None
        ),
        "warning": Key(Number(-_ANY, _ANY), "In its place: from here on a warning.", None),
        "critical": Key(Number(-_ANY, _ANY), "In its place: from here on critical.", None),
        "most": Key(Number(0, _ANY), "Where a gauge ends.", 100),
        "stacked": Key(Boolean(), "Whether lines stand on one another.", False),
        "empty": Key(
            _LINE, "What it means that nothing is found, where that is well. Absent: it is a fault.", None
        ),
        "needs": _NEEDS,
    },
)

ROW = Table(
    "row",
    {
        "title": Key(_LINE, "Its heading."),
        "panels": Key(ListOf(PANEL, least=1), "Side by side."),
        "needs": _NEEDS,
    },
)

DASHBOARD = Table(
    "dashboard",
    {
        "title": Key(_LINE, "Its name."),
        "order": Key(Integer(0, 1000), "Its place in the menu; by name among equals.", 500),
        "about": Key(_LINE, "What it is for, in a sentence."),
        "variables": Key(
            ListOf(Choice(VARIABLES), distinct=True),
            "What a reader can choose; queries name it with `$`.",
            [],
        ),
        "rows": Key(ListOf(ROW, least=1), "From top to bottom."),
        "needs": _NEEDS,
    },
)
