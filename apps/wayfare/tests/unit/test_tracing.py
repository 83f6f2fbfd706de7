"""What statements say of their request, and that nothing is traced where there is no collector."""

from __future__ import annotations

import pytest
from wayfare import tracing
from wayfare.log import REQUEST_ID


@pytest.mark.parametrize(
    ("request_id", "parameters", "expected"),
    [
        ("", None, "SELECT 1"),
        ("3f2a9c1d", None, "SELECT 1 /*request_id='3f2a9c1d'*/"),
        ("a/b=c", None, "SELECT 1 /*request_id='a%2Fb%3Dc'*/"),
        ("a/b=c", (), "SELECT 1 /*request_id='a%%2Fb%%3Dc'*/"),
        ("*/ DROP", None, "SELECT 1 /*request_id='%2A%2F%20DROP'*/"),
    ],
    ids=["no request", "plain", "quoted", "quoted for psycopg", "never an end of the comment"],
)
def test_a_statement_says_whose_it_is(request_id: str, parameters: object, expected: str) -> None:
    token = REQUEST_ID.set(request_id)
    try:
        assert tracing.commented("SELECT 1", parameters) == expected
    finally:
        REQUEST_ID.reset(token)


def test_without_a_collector_nothing_is_traced() -> None:
    tracing.configure({})
    with tracing.answering("GET /", {"traceparent": "00-" + 32 * "1" + "-" + 16 * "1" + "-01"}, {}) as span:
        span.set_attribute("a", 1)
        span.failed("b")
        assert tracing.headers() == {}
        with tracing.asking("GET", "redis") as inner:
            assert isinstance(inner, tracing.NoSpan)
    tracing.end()
