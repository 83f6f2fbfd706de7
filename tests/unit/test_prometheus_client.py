"""Prometheus is asked over HTTP within a deadline, and its faults are named."""

from __future__ import annotations

import json
import math
import threading

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.prometheus import Prometheus, Series
from prometheus_server import served

VECTOR = {
    "resultType": "vector",
    "result": [
        {"metric": {"host": "a"}, "value": [12.5, "3"]},
        {"metric": {"host": "b"}, "value": [12.5, "7"]},
    ],
}
MATRIX = {"resultType": "matrix", "result": [{"metric": {"host": "a"}, "values": [[1, "3"], [6, "4"]]}]}


def test_every_form_of_answer_is_read_as_series():
    answers = {"v": VECTOR, "m[10s]": MATRIX, "1": {"resultType": "scalar", "result": [12.5, "1"]}}
    with served(answers.__getitem__) as port:
        prometheus = Prometheus("127.0.0.1", port)
        assert prometheus.ask("v") == [
            Series({"host": "a"}, ((12.5, 3.0),)),
            Series({"host": "b"}, ((12.5, 7.0),)),
        ]
        assert prometheus.ask("m[10s]") == [Series({"host": "a"}, ((1.0, 3.0), (6.0, 4.0)))]
        assert prometheus.ask("1") == [Series({}, ((12.5, 1.0),))]


def test_a_query_arrives_as_it_was_written():
    asked = []
    with served(lambda query: asked.append(query) or VECTOR) as port:
        Prometheus("127.0.0.1", port).ask('sum(a{b=~"c|d",e="+%&=ö"}) > 0')
    assert asked == ['sum(a{b=~"c|d",e="+%&=ö"}) > 0']


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        pytest.param(VECTOR, 7.0, id="the-largest-of-several"),
        pytest.param({"resultType": "vector", "result": []}, None, id="none"),
        pytest.param({"resultType": "scalar", "result": [1, "NaN"]}, None, id="not-a-number"),
        pytest.param({"resultType": "scalar", "result": [1, "+Inf"]}, math.inf, id="infinite"),
    ],
)
def test_a_query_comes_to_one_number(answer, value):
    with served(lambda _: answer) as port:
        assert Prometheus("127.0.0.1", port).value("anything") == value


def refused(body, status=400):
    with served(lambda _: (status, body)) as port, pytest.raises(SlipwayError) as caught:
        Prometheus("127.0.0.1", port).ask("sum(")
    return caught.value


def test_a_wrong_query_is_named_with_prometheus_own_reason():
    body = json.dumps(
        {"status": "error", "errorType": "bad_data", "error": "parse error: unclosed left parenthesis"}
    )
    error = refused(body.encode())
    assert "refuses `sum(`: parse error: unclosed left parenthesis" in error.problem
    assert error.remedy.startswith("Correct the query")


def test_an_answer_that_is_not_prometheus_own_is_named():
    assert "status 502" in refused(b"<html>Bad Gateway</html>", 502).problem


def test_a_prometheus_that_is_not_there_is_named():
    with pytest.raises(SlipwayError, match=r"Prometheus \(127.0.0.1:1\) does not answer: .*refused"):
        Prometheus("127.0.0.1", 1).ask("up")


def test_a_prometheus_that_is_slow_is_left_after_the_deadline():
    left = threading.Event()
    with served(lambda _: left.wait(60) and VECTOR) as port:
        with pytest.raises(SlipwayError, match=r"no complete answer within 0\.3 s|timed out"):
            Prometheus("127.0.0.1", port, deadline=0.3).ask("up")
        left.set()
