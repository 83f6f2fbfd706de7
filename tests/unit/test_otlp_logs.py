"""Lines of a journal as a request of OTLP/HTTP in JSON: whose they are, how bad, of which trace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.journal_lines import line
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.otlp_logs import body, request
from journal_entries import CONTAINER, LOGIN, entry

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def told(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    asked = request([line(one, "h1") for one in entries], "production", "shop")
    return list(json.loads(body(asked, "json"))["resourceLogs"])


def record(message: Any, **fields: Any) -> dict[str, Any]:
    (speaker,) = told(entry(7, message, **fields))
    (scope,) = speaker["scopeLogs"]
    (found,) = scope["logRecords"]
    return dict(found)


def flat(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {it["key"]: next(iter(it["value"].values())) for it in attributes}


def test_a_line_says_whose_it_is_in_opentelemetrys_words() -> None:
    (speaker,) = told(entry(7, "x", **CONTAINER))
    assert flat(speaker["resource"]["attributes"]) == {
        "service.name": "api",
        "service.instance.id": "api-blue-1",
        "host.name": "h1",
        "deployment.environment": "production",
        "container.name": "shop-api-blue-1-1",
        "slipway.stack": "shop",
        "slipway.component": "api-blue-1",
        "slipway.source": "container",
        "slipway.pool": "blue",
        "slipway.release": "99ac20d3e760",
    }


def test_what_it_says_is_the_body_and_all_else_is_where_opentelemetry_has_it() -> None:
    said = json.dumps({"level": "warning", "request_id": "3f2a", "trace_id": TRACE.upper(), "span_id": SPAN})
    found = record(said, **CONTAINER)
    assert found == {
        "timeUnixNano": "7000000000",
        "observedTimeUnixNano": "7000000000",
        "severityText": "warning",
        "severityNumber": 13,
        "body": {"stringValue": said},
        "traceId": TRACE,
        "spanId": SPAN,
        "attributes": [
            {"key": "request_id", "value": {"stringValue": "3f2a"}},
            {"key": "log.record.uid", "value": {"stringValue": "h1/5ca1ab1e-7"}},
        ],
    }


def test_a_line_of_the_host_has_its_unit_and_its_process() -> None:
    (speaker,) = told(entry(7, "x", **LOGIN))
    assert flat(speaker["resource"]["attributes"])["service.name"] == "sudo"
    found = flat(speaker["scopeLogs"][0]["logRecords"][0]["attributes"])
    assert found == {
        "systemd.unit": "session-3.scope",
        "syslog.identifier": "sudo",
        "process.pid": "77",
        "slipway.audit": True,
        "log.record.uid": "h1/5ca1ab1e-7",
    }


@pytest.mark.parametrize(
    ("message", "fields", "expected"),
    [
        ("x", {"PRIORITY": "0"}, ("emerg", 21)),
        ("x", {"PRIORITY": "2"}, ("crit", 18)),
        ("x", {"PRIORITY": "3"}, ("error", 17)),
        ("x", {"PRIORITY": "5"}, ("notice", 10)),
        ("x", {"PRIORITY": "7"}, ("debug", 5)),
        ('{"level": "ERROR"}', {"PRIORITY": "6"}, ("ERROR", 17)),
        ('{"severity": "Warn"}', {}, ("Warn", 13)),
        ('{"level": 50}', {}, ("50", 17)),
        ('{"level": "loud"}', {}, ("loud", None)),
        ("x", {}, (None, None)),
    ],
)
def test_how_bad_it_is_in_the_speakers_words_and_as_a_number(
    message: str, fields: dict[str, str], expected: tuple[str | None, int | None]
) -> None:
    found = record(message, **fields)
    assert (found.get("severityText"), found.get("severityNumber")) == expected


@pytest.mark.parametrize("trace", ["0" * 32, TRACE[1:], f"{TRACE}0", "g" * 32, 7])
def test_an_id_that_is_none_is_no_trace_and_not_lost(trace: Any) -> None:
    found = record(json.dumps({"trace_id": trace}))
    assert "traceId" not in found
    assert flat(found["attributes"])["trace_id"] == str(trace)


def test_speakers_are_told_once_and_their_lines_stay_in_order() -> None:
    numbered = [
        entry(number, f"line {number}", **(CONTAINER if number % 2 else LOGIN)) for number in range(1, 7)
    ]
    found = told(*numbered)
    said = [[it["body"]["stringValue"] for it in one["scopeLogs"][0]["logRecords"]] for one in found]
    assert said == [["line 1", "line 3", "line 5"], ["line 2", "line 4", "line 6"]]


def test_half_a_character_is_no_text_to_anybody_else() -> None:
    found = record('{"request_id": "\\ud800"}')
    assert flat(found["attributes"])["request_id"] == "?"


def test_a_line_of_a_journal_that_does_not_count_has_no_number() -> None:
    old = {key: value for key, value in entry(7, "x").items() if not key.startswith("__SEQ")}
    (speaker,) = told(old)
    assert speaker["scopeLogs"][0]["logRecords"][0]["attributes"] == []
