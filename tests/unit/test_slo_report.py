"""What is left of error budgets: read from Prometheus, told as a table and as data."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring import slo_report
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.slo import Objective
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.slo_report import Reading
from ansible_collections.slipway.compose.plugins.module_utils._core.prometheus import Series
from ansible_collections.slipway.compose.plugins.modules import slo
from hypothesis import given
from hypothesis import strategies as st
from prometheus_server import served

DAY = 86400
API = Objective("api", 99.9, 30 * DAY)


def answers(**values: float) -> Any:
    """Prometheus' answer for the API's availability."""
    names = {
        "requests": "slipway_slo_requests:count_window",
        "errors": "slipway_slo_errors:count_window",
        "left": "slipway_slo_budget_left:ratio",
        "now": "slipway_slo_errors:ratio_1h",
    }
    own = {"service": "api", "objective": "availability"}
    return [
        {"metric": {"__name__": names[name], **own}, "value": [1, str(value)]}
        for name, value in values.items()
    ]


def asked(**values: float) -> list[Reading]:
    found = [Series(it["metric"], ((1.0, float(it["value"][1])),)) for it in answers(**values)]
    return slo_report.read(lambda query: found, [API, replace(API, within=500, percent=99.0)])


def test_a_budget_is_told_in_a_line():
    header, first, second = slo_report.table(asked(requests=1_000_000, errors=400, left=0.6, now=0.003))
    assert re.split(r"\s{2,}", header) == list(slo_report._HEADER)
    assert re.split(r"\s{2,}", first) == [
        *("api", "99.9 % without an error", "30 days", "99.960 %", "400 of 1000000"),
        *("60 %", "3.0", "6 days"),
    ]
    assert re.split(r"\s{2,}", second)[:4] == ["api", "99 % within 500 ms", "30 days", "no requests"]
    assert header.index("WINDOW") == first.index("30 days") == second.index("30 days")


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        pytest.param(
            {"requests": 10_000_000, "errors": 1, "left": 0.99999, "now": 0.0},
            ["99.999 %", "1 of 10000000", "99 %", "0.0", "-"],
            id="nearly-all-is-not-all",
        ),
        pytest.param(
            {"requests": 1000, "errors": 30, "left": -29.0, "now": 0.06},
            ["97.000 %", "30 of 1000", "-2900 %", "60.0", "spent"],
            id="overspent",
        ),
        pytest.param(
            {"requests": 1000, "errors": 0, "left": 1.0},
            ["100.000 %", "0 of 1000", "100 %", "-", "-"],
            id="nobody-asked-in-the-last-hour",
        ),
        pytest.param(
            {"requests": 1000, "errors": 1, "left": 0.5, "now": 0.72},
            ["99.900 %", "1 of 1000", "50 %", "720.0", "30 minutes"],
            id="within-the-hour",
        ),
    ],
)
def test_a_line_says(values, cells):
    line = slo_report.table(asked(**values)[:1])[1]
    assert re.split(r"\s{2,}", line)[-5:] == cells


@given(st.floats(-50, 1), st.floats(0, 1000))
def test_a_projection_is_within_the_window_and_sooner_at_a_faster_pace(left, burn):
    def ends(pace: float) -> float | None:
        return Reading(API, 1000, 1, left, pace).exhausted_in

    end, sooner = ends(burn), ends(burn * 2)
    assert end is None or 0 <= end <= API.window * 1.000001
    assert (end == 0) == (left <= 0)
    if end is not None:
        assert sooner is not None and sooner <= end


@pytest.fixture
def called(capsys):
    def call(main, arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize("dry", [True, False], ids=["in-check-mode", "for-real"])
def test_the_module_asks_and_changes_nothing(called, dry):
    data = {"resultType": "vector", "result": answers(requests=1000, errors=1, left=0.9, now=0.0)}
    with served(lambda _: data) as port:
        place = {"host": "127.0.0.1", "port": port}
        arguments = {"objectives": [asdict(API)], "prometheus": place, "_ansible_check_mode": dry}
        told = called(slo.main, arguments)
    assert told["changed"] is False
    assert told["objectives"][0] | {"left": 0.9, "errors": 1, "exhausted_in": None} == told["objectives"][0]
    assert told["table"][1].startswith("api ")


def test_the_module_says_that_prometheus_cannot_be_reached(called):
    place = {"host": "127.0.0.1", "port": 1}
    told = called(slo.main, {"objectives": [asdict(API)], "prometheus": place})
    assert told["failed"]
    assert "Prometheus (127.0.0.1:" in told["problem"] and "does not answer" in told["problem"]
    assert "docs/runbooks/prometheus.md" in told["remedy"]
