"""Alert rules of the user's own: what Prometheus is told of them."""

from __future__ import annotations

from ..postgresql.sites import UNLESS_IT_FOLLOWS
from ..stack.model import Stack
from ..stack.model_alerts import Rule

PATH = "stack/components/monitoring/alerts/rules"


def group(rule: Rule) -> str:
    """What its group is called in Prometheus, and so by promtool: where it stands in the stack."""
    return f"{PATH}: {rule.name}"


def expression(rule: Rule, stack: Stack) -> str:
    """What Prometheus evaluates: of a service nothing at a site that follows, where no service runs."""
    postgres = stack.components.postgres
    if not rule.service or not postgres or not postgres.other_site:
        return rule.expr
    # On lines of their own: what is the user's may end with a comment.
    return f"(\n{rule.expr}\n) {UNLESS_IT_FOLLOWS}"


def labels(rule: Rule) -> dict[str, str]:
    """What tells its alerts from others, beside the labels of what it finds."""
    service = {"service": rule.service} if rule.service else {}
    return {"severity": rule.severity, **service, **rule.labels}


def dashboard(rule: Rule) -> tuple[str, ...]:
    """The dashboard where it leads, and the labels that choose what that shows."""
    name = rule.dashboard or ("service" if rule.service else "overview")
    return (name, "service") if rule.service else (name,)
