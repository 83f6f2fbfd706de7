"""What services promise: judged, made into rules, read back as a report, and asked before a release."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.edge_counts import BOUNDS
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import slo_report
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.slo import (
    BURN_RATES,
    WINDOWS,
    Objective,
    objectives,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.slo_rules import LIMITS
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import (
    LatencyObjective,
    Slo,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from hypothesis import given
from hypothesis import strategies as st
from whole_stack import recorded_and_alerts, rendered, stack, with_service, with_slo

DAY = 86400
PATH = "stack/services/web/slo"


# What can be promised


def promised(definition: dict[str, Any], hosts: Any, given: Any, **changes: Any) -> Any:
    definition["services"]["web"] |= {"slo": given, **changes}
    try:
        return parse_stack(definition, hosts).services["web"].slo
    except InvalidInputError as error:
        return [str(problem) for problem in error.problems]


def test_availability_and_latency_are_promised_for_a_month(definition, hosts):
    given = {"availability": 99.95, "latency": {"percent": 99, "within": "500ms"}}
    assert promised(definition, hosts, given) == Slo(99.95, LatencyObjective(99.0, 500), 30 * DAY)


def test_who_promises_nothing_is_not_measured(definition, hosts):
    assert promised(definition, hosts, None) is None


@pytest.mark.parametrize(
    ("given", "changes", "complaint"),
    [
        pytest.param(
            {}, {}, f"{PATH}: promises nothing. Write availability, latency or both.", id="an-empty-promise"
        ),
        pytest.param(
            {"availability": 99.9},
            {"route": None},
            f"{PATH}: needs a route: the edge measures what it promises. Add stack/services/web/route, or "
            "remove the objectives.",
            id="behind-no-edge",
        ),
        pytest.param(
            {"availability": 100},
            {},
            f"{PATH}/availability: is 100, out of range. Write a number from 95 to 99.999.",
            id="no-budget-at-all",
        ),
        pytest.param(
            {"latency": {"percent": 99, "within": "400ms"}},
            {},
            f"{PATH}/latency/within: is 400 ms, a time that the edge's histogram does not tell apart. Write "
            "300ms or 500ms.",
            id="between-two-buckets",
        ),
        pytest.param(
            {"latency": {"percent": 99, "within": "1s"}},
            {"protocol": "websocket"},
            f"{PATH}/latency: cannot be measured: a WebSocket's time says how long somebody stayed. "
            "Remove it.",
            id="a-websockets-time",
        ),
        pytest.param(
            {"availability": 99.9, "window": "90d"},
            {},
            f"{PATH}/window: is longer than metrics are kept, 30 days. Write a shorter window, or a longer "
            "stack/components/monitoring/retention.",
            id="longer-than-anybody-remembers",
        ),
        pytest.param(
            {"availability": "99.9%"},
            {},
            f'{PATH}/availability: is "99.9%", not a number. Write a number from 95 to 99.999, without '
            "quotes.",
            id="text",
        ),
        pytest.param(
            {"latency": {"within": "1s"}},
            {},
            f"{PATH}/latency/percent: is missing. Add it: a number from 95 to 99.999.",
            id="half-a-promise",
        ),
        pytest.param(
            {"avalability": 99.9, "latency": {"percent": 99, "within": "1s"}},
            {},
            f"{PATH}/avalability: is not a known key. Did you mean availability? Rename or remove it.",
            id="a-typing-error",
        ),
    ],
)
def test_what_cannot_be_promised_is_refused_with_a_remedy(definition, hosts, given, changes, complaint):
    assert promised(definition, hosts, given, **changes) == [complaint]


@given(st.integers(5, 30_000))
def test_a_latency_is_one_that_the_histogram_can_answer_or_its_neighbours_are_named(within):
    hosts = topology(stack()).stack.hosts
    web = {"image": "a/b:1", "port": 80, "health_path": "/", "route": {"path": "/"}}
    definition = {"name": "shop", "domain": "shop.example.com", "services": {"web": web}}
    told = promised(definition, hosts, {"latency": {"percent": 99, "within": f"{within}ms"}})
    if isinstance(told, Slo):
        assert within / 1000 in BOUNDS
        return
    below, above = (int(it) for it in re.findall(r"(\d+)ms", told[0]))
    assert below < within < above
    assert {below, above} <= set(LIMITS)
    assert not [it for it in LIMITS if below < it < above]


# Rules


def slo_file(base: Any) -> Any:
    return yaml.safe_load(rendered(base, "h3.test")["config/prometheus/rules/slo.yml"])


def test_without_a_promise_there_is_no_rule():
    assert slo_file(stack()) == {"groups": []}


def test_every_objective_is_counted_and_every_window_of_an_alert_recorded():
    told = recorded_and_alerts(with_slo(stack()))
    counted = {
        (rule["labels"]["service"], rule["labels"]["objective"])
        for rule in told
        if rule.get("record") == "slipway_slo_errors:count_1m"
    }
    assert counted == {
        *((name, "availability") for name in ("web", "api", "updates", "journeys")),
        ("web", "latency"),
    }
    recorded = {rule["record"] for rule in told if "record" in rule}
    for rule in told:
        used = set(re.findall(r"slipway_slo_\w+:\w+", rule["expr"]))
        assert used <= recorded
    assert all(
        {f"slipway_slo_errors:ratio_{it}" for it in (pair.long, pair.short)} <= recorded
        for pairs in BURN_RATES.values()
        for pair in pairs
    )


def test_services_with_other_windows_have_budgets_of_their_own():
    base = with_service(with_slo(stack()), "api", slo=Slo(99.0, None, 7 * DAY))
    left = [
        it["expr"] for it in recorded_and_alerts(base) if it.get("record") == "slipway_slo_budget_left:ratio"
    ]
    assert [re.findall(r'\(([0-9]+) \* .*service=~"([^"]+)"}\[(\d+)s\]', expr) for expr in left] == [
        [("10080", "api", "604799")],
        [("43200", "web|updates|journeys", "2591999")],
    ]


@pytest.mark.parametrize("written", ["1", "1.0"], ids=["by-prometheus-2", "by-prometheus-3"])
def test_a_whole_second_is_found_however_the_bucket_is_written(written):
    second = Objective("web", 99, 30 * DAY, 1000)
    assert re.fullmatch(second.bound, written)
    assert not re.fullmatch(second.bound, "1.5")


@given(st.sampled_from(LIMITS))
def test_a_limit_is_the_label_of_exactly_one_bucket(within):
    bound = Objective("web", 99, 30 * DAY, within).bound
    found = [it for it in BOUNDS if re.fullmatch(bound, f"{it:g}")]
    assert found == [within / 1000]


@given(st.floats(95, 99.999))
def test_every_alert_can_fire_at_every_objective(percent):
    allowed = Objective("web", percent, 30 * DAY).allowed
    assert 0 < allowed * max(pair.rate for pairs in BURN_RATES.values() for pair in pairs) < 1
    assert all(WINDOWS[pair.short] < WINDOWS[pair.long] for pairs in BURN_RATES.values() for pair in pairs)


def test_a_critical_objective_does_not_silence_the_warning_of_another():
    told = yaml.safe_load(rendered(with_slo(stack()), "h3.test")["config/alertmanager/alertmanager.yml"])
    (by_severity,) = [
        it for it in told["inhibit_rules"] if it["source_matchers"] == ['severity = "critical"']
    ]
    assert {"alertname", "service", "objective"} <= set(by_severity["equal"])


def test_objectives_travel_to_the_module_and_back():
    told = objectives(with_slo(stack()).services)
    assert slo_report.objectives_from(json.loads(json.dumps([asdict(it) for it in told]))) == told
    assert len(told) == 5
