"""Alert rules of the user's own: what is refused, and with which words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Rule
from ansible_collections.slipway.compose.plugins.plugin_utils import own_rules
from documentation import DOCS, blocks, loaded
from whole_stack import (
    recorded_and_alerts,
    stack,
    with_console,
    with_everything,
    with_rules,
    with_slo,
)

PATH = "stack/components/monitoring/alerts/rules"
WAIT: dict[str, Any] = {
    "name": "OrdersWait",
    "expr": "sum by (shop) (orders_waiting) > 100",
    "for": "10m",
    "severity": "warning",
    "summary": "{{ $value | humanize }} orders of {{ $labels.shop }} wait",
    "runbook_url": "https://wiki.example.com/orders#wait",
}


def parsed(definition: dict[str, Any], hosts: list[Host], *rules: dict[str, Any]) -> Stack:
    definition["components"] = {"monitoring": {"alerts": {"rules": list(rules)}}}
    return parse_stack(definition, hosts)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in WAIT.items() if name != key}


def test_a_rule_is_read(definition: dict[str, Any], hosts: list[Host]) -> None:
    more = {"service": "web", "labels": {"team": "sales", "tier": 1}, "keep_firing_for": "5m"}
    more |= {"dashboard": "business"}
    (usual, full) = parsed(
        definition, hosts, WAIT, {**WAIT, "name": "OrdersFail", **more}
    ).components.monitoring.alerts.rules
    said = (WAIT["expr"], 600, "warning", WAIT["summary"], WAIT["runbook_url"])
    assert usual == Rule("OrdersWait", *said)
    assert full == Rule("OrdersFail", *said, "web", {"team": "sales", "tier": "1"}, 300, "business")


@pytest.mark.parametrize("key", WAIT)
def test_each_alert_says_all_that_who_is_called_must_know(
    definition: dict[str, Any], hosts: list[Host], key: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parsed(definition, hosts, without(key))
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"{PATH}/0/{key}: is missing. Add it: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "orders_wait"}, '/name: is "orders_wait", not a name of letters and digits in CamelCase'),
        ({"name": "ORDERS"}, '/name: is "ORDERS", not a name of letters and digits in CamelCase'),
        ({"expr": " \n"}, "/expr: is "),
        ({"for": "5 minutes"}, '/for: is "5 minutes", not a duration with a unit. Write a duration from 0s'),
        ({"for": 300}, "/for: is 300, not a duration with a unit"),
        ({"for": "8d"}, '/for: is "8d", out of range. Write a duration from 0s to 7d'),
        ({"keep_firing_for": "x"}, '/keep_firing_for: is "x", not a duration with a unit'),
        ({"severity": "page"}, '/severity: is "page", not one of critical, warning'),
        ({"severity": "warn"}, '/severity: is "warn", not one of critical, warning. Did you mean warning? '),
        ({"summary": "two\nlines"}, "/summary: is "),
        ({"runbook_url": "the wiki"}, '/runbook_url: is "the wiki", not a URL, or the path of a file in'),
        ({"runbook_url": "../orders.md"}, '/runbook_url: is "../orders.md", not a URL, or the path'),
        ({"service": "wbe"}, "/service: wbe is not a service. Did you mean web? Known: "),
        (
            {"labels": {"severity": "page"}},
            "/labels/severity: is a label that the platform sets. Write",
        ),
        ({"labels": {"service": "web"}}, "/labels/service: is a label that the platform sets. Write it as"),
        (
            {"labels": {"owner": "me"}},
            "/labels/owner: is a label that the platform sets. Write it as the",
        ),
        ({"labels": {"escalation": "1"}}, "/labels/escalation: is a label that the platform sets. Remove it"),
        ({"labels": {"my-team": "a"}}, "/labels/my-team: has a name that is "),
        ({"labels": {"__name__": "a"}}, "/labels/__name__: has a name that is "),
        ({"labels": {"count": "{{ $value }}"}}, "/labels/count: has $value in it: with each new number it"),
        ({"labels": {"at": "{{ $lables.x }}"}}, "/labels/at: has $lables, which nobody knows. Did you mean"),
        ({"summary": "{{ $value } wait"}, "/summary: has {{ without }}, or }} without {{. Write"),
        ({"summary": "$value wait"}, "/summary: has $value outside {{ }}, which nobody fills in. Write"),
        (
            {"summary": "{{ $values }} wait"},
            "/summary: has $values, which nobody knows. Did you mean value",
        ),
        ({"alert": "OrdersWait"}, "/alert: is not a known key. "),
    ],
)
def test_what_cannot_work_is_refused_where_it_stands(
    definition: dict[str, Any], hosts: list[Host], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parsed(definition, hosts, WAIT | change)
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"{PATH}/0{said}")


def test_a_name_is_that_of_one_rule(definition: dict[str, Any], hosts: list[Host]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parsed(definition, hosts, WAIT, {**WAIT, "name": "Other"}, {**WAIT, "severity": "critical"})
    assert [str(it) for it in refused.value.problems] == [
        f"{PATH}/2/name: OrdersWait is the name of {PATH}/0. Choose another."
    ]


def test_variables_of_a_template_are_no_fault(definition: dict[str, Any], hosts: list[Host]) -> None:
    summary = "{{ with $labels.shop }}{{ . }}: {{ end }}{{ range $i, $it := query `up` }}{{ $it }}{{ end }}"
    assert parsed(definition, hosts, {**WAIT, "summary": f"{summary} costs 5 $"})


def told(tmp_path: Path, **changes: Any) -> list[str]:
    """What the files of the platform and the parser have against a rule, below its path."""
    rule = Rule("OrdersWait", WAIT["expr"], 600, "warning", "They wait", "https://wiki.test/")
    base = with_console(with_rules(stack(), replace(rule, **changes)))
    return [str(it).removeprefix(f"{PATH}/0/") for it in own_rules.problems(base, tmp_path)]


def test_a_good_rule_is_good(tmp_path: Path) -> None:
    assert told(tmp_path) == []


@pytest.mark.parametrize("name", ["HostDown", "BackupTooOld", "Watchdog", "SiteAnswers", "Unanswered2"])
def test_a_name_of_the_platforms_is_taken_even_where_the_stack_lacks_the_alert(
    tmp_path: Path, name: str
) -> None:
    assert told(tmp_path, name=name) == [
        f"name: {name} is the name of an alert of the platform's. Choose another."
    ]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum(", "is not PromQL: unclosed left parenthesis"),
        ("up{job=}", "is not PromQL: "),
        ("orders waiting", "is not PromQL: "),
        ("rats(orders_total[5m])", "is not PromQL: unknown function with name 'rats'"),
        ("rate(orders_total)", "is not PromQL: expected type matrix in call to function 'rate'"),
        ("sum(a) by (x", "is not PromQL: "),
        ("a and 1", "is not PromQL: "),
        ("# only a comment", "is not PromQL: "),
        ("orders_total[5m]", "finds a range of samples, of which there is no alert"),
        ("(orders_total)[5m:1m]", "finds a range of samples, of which there is no alert"),
        ("'orders'", "is a text, of which there is no alert"),
        ("(1 > bool 2)", "is a number without labels, which is always there: the alert would always fire"),
        ("hour", ""),
        ("scalar(up) > bool -time()", "is a number without labels"),
        ("vector(1) > 0", ""),
        ("time() - orders_newest_seconds > 600", ""),
        ("holt_winters(orders[1h], 0.5, 0.5) > 1", ""),
        ('orders{shop=~`a\\d"`} > 1 # `', ""),
        ("orders{shop='a`b\\d`'} > 1", "is not PromQL: unknown escape sequence 'd'"),
        ("orders > 1 # not `closed", ""),
    ],
)
def test_an_expression_is_read_before_any_host_is_asked(tmp_path: Path, expression: str, said: str) -> None:
    found = told(tmp_path, expr=expression)
    assert len(found) == bool(said)
    assert all(it.startswith(f"expr: {said}") for it in found)
    assert all(it.endswith(". Correct it; docs/alerts.md has examples.") for it in found)


def test_expressions_of_the_platform_can_be_read_too() -> None:
    """Or it would refuse what Prometheus takes."""
    expressions = {rule["expr"] for rule in recorded_and_alerts(with_slo(with_everything(stack())))}
    assert len(expressions) > 100
    assert [it for it in expressions if own_rules.fault(it)] == []


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "promql_parser", None)
    own_rules._parser.cache_clear()
    yield
    own_rules._parser.cache_clear()


@pytest.mark.usefixtures("no_parser")
def test_a_control_node_without_the_parser_is_told_how_to_get_it(tmp_path: Path) -> None:
    (said,) = told(tmp_path)
    assert said.startswith("expr: cannot be read: promql-parser is not on this control node. Install it: ")


def test_a_dashboard_must_be_there(tmp_path: Path) -> None:
    assert told(tmp_path, dashboard="postgres") == []
    (said,) = told(tmp_path, dashboard="postgre")
    assert said.startswith("dashboard: postgre is not a dashboard. Did you mean postgres? Known: backups, ")


def test_where_there_is_no_console_no_dashboard_is_asked_for(tmp_path: Path) -> None:
    rule = Rule("OrdersWait", "a > 1", 0, "warning", "They wait", "https://wiki.test/", dashboard="business")
    assert list(own_rules.problems(with_rules(stack(), rule), tmp_path)) == []


def test_a_runbook_that_is_a_file_must_be_there(tmp_path: Path) -> None:
    ours = "docs/runbooks/redis.md"
    assert told(tmp_path, runbook=f"{ours}#memory") == []
    (said,) = told(tmp_path, runbook="docs/runbooks/orders.md#wait")
    remedy = f"Write it below {tmp_path}, or name a URL."
    assert said == f"runbook_url: docs/runbooks/orders.md is not a file. {remedy}"
    (tmp_path / "docs/runbooks").mkdir(parents=True)
    (tmp_path / "docs/runbooks/orders.md").write_text("# Orders\n")
    assert told(tmp_path, runbook="docs/runbooks/orders.md#wait") == []
    (tmp_path / ours).write_text("# Another\n")
    (said,) = told(tmp_path, runbook=ours)
    assert said == f"runbook_url: {ours} has the name of a runbook of the platform's. Rename the file."


def test_the_example_of_the_documentation_works(
    definition: dict[str, Any], hosts: list[Host], tmp_path: Path
) -> None:
    (shown,) = [it for it in blocks(DOCS / "alerts.md") if "rules:" in it]
    definition["services"]["api"] = definition["services"]["web"] | {"route": None}
    definition["components"] = loaded(shown)["stack"]["components"]
    base = parse_stack(definition, hosts)
    (tmp_path / "docs/runbooks").mkdir(parents=True)
    (tmp_path / "docs/runbooks/bookings.md").touch()
    assert len(base.components.monitoring.alerts.rules) == 2
    assert list(own_rules.problems(base, tmp_path)) == []
