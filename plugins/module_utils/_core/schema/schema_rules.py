"""The part of the schema that describes alert rules of the user's own."""

from __future__ import annotations

from ..stack.model_alerts import SEVERITIES
from .forms import NAME, QUERY
from .kinds import Choice, Entries, Key, Scalar, Table, Text, duration

# What YAML takes for the end of a line, or for nothing, is left out beside control characters.
_LINE = Text(
    r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]{1,500}",
    "a line of text, at most 500 characters",
    "'{{ $value }} orders wait'",
)
_ALERT = Text(
    r"(?=.*[a-z])[A-Z][A-Za-z0-9]{1,63}",
    "a name of letters and digits in CamelCase, at most 64",
    "OrdersWait",
)
_LABEL = Text(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,63}", "a label's name: letters, digits and underscores", "team")
_RUNBOOK = Text(
    r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[!-~]*)?|docs/runbooks/[a-z0-9-]+\.md(?:#[a-z0-9_-]+)?",
    "a URL, or the path of a file in docs/runbooks",
    "https://wiki.example.com/orders or docs/runbooks/orders.md#they-wait",
)
_DASHBOARD = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a dashboard's name", "service")

RULE = Table(
    "rule",
    {
        "name": Key(_ALERT, "What the alert is called."),
        "expr": Key(QUERY, "PromQL: each series that it finds is an alert."),
        "for": Key(duration("0s", "7d"), "How long it must have found it."),
        "severity": Key(Choice(SEVERITIES), "`critical`: somebody is called for it."),
        "summary": Key(
            _LINE,
            "What is told, in a line. Prometheus fills in `{{ $value }}` and `{{ $labels.host }}`; "
            "`!unsafe` before the text keeps Ansible from doing so.",
        ),
        "runbook_url": Key(
            _RUNBOOK,
            "What to do about it: a URL, or a file of `docs/runbooks` in the checkout; the console shows it.",
        ),
        "service": Key(
            NAME,
            "Service that it is about: its label, by which alerts are routed, grouped, inhibited and owned.",
            None,
            "the label `service` of what is found, if it has one",
        ),
        "labels": Key(Entries(_LABEL, Scalar("true", "false")), "Further labels of the alert.", {}),
        "keep_firing_for": Key(
            duration("0s", "7d"), "How long it goes on after it was last found: a short dip is no end.", "0s"
        ),
        "dashboard": Key(
            _DASHBOARD,
            "Where to look: a dashboard's file without its ending, the platform's or one of your own.",
            None,
            "`service` with a service, else `overview`",
        ),
    },
)
