"""What is said of an hour without faults, and of the cost of monitoring."""

from __future__ import annotations

from itertools import islice

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from monitoring_cost import Found, Measured, hurried, over_budget
from monitoring_use import Use, by_component
from quiet_hour import ENDS_SESSIONS, SERVICES, STRATEGIES, told, turns
from whole_stack import LAB_HOSTS, lab_definition

MB = 2**20


def test_every_strategy_releases_every_service_before_one_comes_again() -> None:
    everything = {(strategy, service) for strategy in STRATEGIES for service in SERVICES} - ENDS_SESSIONS
    assert set(islice(turns(), len(everything))) == everything


def test_an_alert_that_fired_is_told_and_a_sign_of_life_is_not() -> None:
    series = [
        {"metric": {"alertname": "Watchdog", "severity": "none"}, "value": [0, "240"]},
        {"metric": {"alertname": "HostCpuHigh", "severity": "warning"}, "value": [0, "9"]},
        {"metric": {"alertname": "HostDown", "severity": "critical"}, "value": [0, "3"]},
    ]
    assert told(series) == ['{"alertname": "HostDown", "severity": "critical"}, 3 times']


@pytest.mark.parametrize(("percent", "seconds"), [(50, 0.51), (95, 0.96), (99, 1.0), (100, 1.0)])
def test_a_percentile_is_a_request_that_was_made(percent: float, seconds: float) -> None:
    assert Measured(60, [n / 100 for n in range(1, 101)], 0.0, []).percentile(percent) == seconds


def test_a_machine_that_slows_down_is_no_cost() -> None:
    before, off, after = (
        [Measured(60, [seconds], cores, [])] for seconds, cores in ((2, 1), (2.5, 1.5), (4, 3))
    )
    found = Found(before, off, after)
    assert (found.latency, found.cores) == (0.5, 0.5)


def test_requests_that_failed_are_told_whenever_it_was() -> None:
    runs = [[Measured(60, [1.0], 1.0, [wrong])] for wrong in ("first", "without", "last")]
    assert Found(*runs).failed == ["first", "without", "last"]


def test_what_watches_is_added_up_over_the_hosts() -> None:
    used = {("a", "collector"): Use(10.0, 0.0), ("b", "collector"): Use(20.0, 0.5), ("b", "logs"): Use(1, 0)}
    assert by_component(used) == {"collector": (2, 30.0, 0.5), "logs": (1, 1, 0)}


@pytest.mark.parametrize(
    ("seconds", "used", "over"),
    [
        (0.004, {("a", "prometheus"): Use(500 * MB, 0.1), ("b", "collector"): Use(100 * MB, 0.1)}, []),
        (0.006, {}, ["p95 6.0 ms more at 60 a second, promised are 5.0 ms"]),
        (0, {("a", "logs"): Use(1, 0.2), ("b", "logs"): Use(1, 0.1)}, ["0.30 cores, promised are 0.25"]),
        (0, {("b", "collector"): Use(300 * MB, 0)}, ["300 MB on b, promised are 200"]),
        (
            0,
            {("a", "prometheus"): Use(300 * MB, 0), ("a", "logs"): Use(400 * MB, 0)},
            ["700 MB on a, promised are 600"],
        ),
    ],
)
def test_what_takes_more_than_is_promised_is_named(
    seconds: float, used: dict[tuple[str, str], Use], over: list[str]
) -> None:
    on, off = ([Measured(60, [took], 0, []), Measured(20, [0], 0, [])] for took in (seconds, 0))
    assert list(over_budget(Found(on, off, on), used)) == over


def test_a_stack_whose_releases_pause_for_nobody_is_valid() -> None:
    found = parse_stack(hurried(lab_definition()), LAB_HOSTS)
    assert {one.strategy.name for one in found.services.values() if one.route} == {"at_once"}
