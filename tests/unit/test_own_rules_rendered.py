"""Alert rules of the user's own: what Prometheus, Alertmanager and the console are told of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Rule
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils import own_rules
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from whole_stack import (
    CERTIFICATE,
    IMAGES,
    SECRETS,
    recorded_and_alerts,
    rendered,
    stack,
    with_console,
    with_other_site,
    with_rules,
)

FILE = "config/prometheus/rules/own.yml"


def test_the_console_shows_runbooks_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "docs/runbooks").mkdir(parents=True)
    (tmp_path / "docs/runbooks/orders.md").write_text("# Orders\n")
    rule = Rule("OrdersWait", "a > 1", 0, "warning", "They wait", "docs/runbooks/orders.md#wait")
    base = with_console(with_rules(stack(), rule, replace(rule, runbook="docs/runbooks/redis.md")))
    found = own_rules.runbooks(base, tmp_path)
    assert found == {"orders.md": "# Orders\n"}
    laid = topology(base)
    images = dict.fromkeys([*IMAGES, *base.services], "i")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {}, runbooks=found)
    view = next(it for it in laid.views.values() if it.runs("console"))
    shown = {it.path: it.content for it in render(laid, view, material) if "/docs/runbooks/" in it.path}
    assert shown["config/console/page/docs/runbooks/orders.md"] == "# Orders\n"
    assert shown["config/console/page/docs/runbooks/redis.md"].startswith("# Redis")


def test_prometheus_is_told_exactly_this() -> None:
    assert rendered(with_console(with_rules(stack())), "h3.test")[FILE] == (
        "---\n"
        "# Alerts of the stack's own: stack.components.monitoring.alerts.rules, docs/alerts.md."
        " A group each, named for where it stands: whatever is\n"
        "# said of it leads there.\n"
        "groups:\n"
        '  - name: "stack/components/monitoring/alerts/rules: OrdersFail"\n'
        "    rules:\n"
        "      - alert: OrdersFail\n"
        '        expr: "sum by (country) (rate(orders_total{outcome=\\"failed\\"}[5m]))\\n'
        '  / sum by (country) (rate(orders_total[5m])) > 0.05 # of all"\n'
        "        for: 300s\n"
        "        keep_firing_for: 600s\n"
        '        labels: {"severity": "critical", "service": "api", "team": "sales", "tier": "1"}\n'
        "        annotations:\n"
        '          summary: "{{ $value | humanizePercentage }} of the orders from'
        ' {{ $labels.country }} fail: \\"no\\" 😀"\n'
        '          runbook_url: "https://wiki.test/orders?a=1#fail"\n'
        '          dashboard: "https://ops.wayfare.test/#/service?service={{ $labels.service }}"\n'
        '  - name: "stack/components/monitoring/alerts/rules: PayoutsWait"\n'
        "    rules:\n"
        "      - alert: PayoutsWait\n"
        '        expr: "payouts_waiting > 100"\n'
        "        for: 0s\n"
        '        labels: {"severity": "warning"}\n'
        "        annotations:\n"
        '          summary: "Over 100 payouts wait"\n'
        '          runbook_url: "docs/runbooks/redis.md"\n'
        '          dashboard: "https://ops.wayfare.test/#/overview"\n'
    )


def test_what_is_told_is_read_back_as_it_was_written() -> None:
    base = with_rules(stack())
    groups = yaml.safe_load(rendered(base, "h3.test")[FILE])["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for own, rule in zip(base.components.monitoring.alerts.rules, rules, strict=True):
        assert (rule["alert"], rule["expr"]) == (own.name, own.expr)
        assert rule["annotations"] == {"summary": own.summary, "runbook_url": own.runbook}


def test_a_stack_without_own_rules_is_as_it_was() -> None:
    tree = rendered(stack(), "h3.test")
    assert FILE not in tree
    assert 'SlowResponses"' in tree["config/alertmanager/alertmanager.yml"]


def test_a_runbook_of_the_checkout_is_where_the_others_are() -> None:
    base = with_rules(stack())
    alerts = replace(base.components.monitoring.alerts, runbooks="https://git.test/shop/blob/main")
    monitoring = replace(base.components.monitoring, alerts=alerts)
    found = rendered(replace(base, components=replace(base.components, monitoring=monitoring)), "h3.test")[
        FILE
    ]
    assert re.findall(r'runbook_url: "(.+)"', found) == [
        "https://wiki.test/orders?a=1#fail",
        "https://git.test/shop/blob/main/docs/runbooks/redis.md",
    ]


def test_a_site_that_follows_is_not_asked_for_what_its_services_would_do() -> None:
    failing, waiting = (
        rule["expr"]
        for rule in recorded_and_alerts(with_rules(with_other_site(stack())))
        if rule.get("alert") in ("OrdersFail", "PayoutsWait")
    )
    assert waiting == "payouts_waiting > 100"
    assert failing.startswith("(\nsum by (country)")
    assert failing.endswith("# of all\n) unless on () max(patroni_standby_leader) == 1")
    assert own_rules.fault(failing) is None


def test_own_alerts_are_inhibited_like_the_platforms() -> None:
    told = yaml.safe_load(rendered(with_rules(stack()), "h3.test")["config/alertmanager/alertmanager.yml"])
    targets = {rule["source_matchers"][0]: rule["target_matchers"] for rule in told["inhibit_rules"]}
    (named,) = targets['alertname = "ServiceDown"']
    assert named.endswith('|SlowResponses|OrdersFail|PayoutsWait"')
    # The others say whom they leave out, which is none of the user's.
    for cause in ("EnvironmentDown", "HostDown"):
        assert "alertname !~" in targets[f'alertname = "{cause}"'][0]
        assert "OrdersFail" not in targets[f'alertname = "{cause}"'][0]
