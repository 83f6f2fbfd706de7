"""Silences: what they match, when they end, and that an Alertmanager is asked as its API wants it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.silences import (
    Alertmanager,
    Silence,
    bring,
    of_everything,
    of_host,
    of_services,
)
from ansible_collections.slipway.compose.plugins.modules import silence as module

DRILL = Path(__file__).resolve().parents[2] / "roles/drill/tasks/main.yml"
NOW = datetime(2026, 11, 26, 22, 0, tzinfo=UTC)
TOLD = ("root@control", "kernel update", 600, NOW)


def silenced(silence: Silence, labels: dict[str, str]) -> bool:
    """As Alertmanager matches: every matcher, anchored, an absent label as an empty one."""
    return all(
        (re.fullmatch(pattern, labels.get(label, "")) is not None) is fits
        for label, pattern, fits in silence.matchers
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"alertname": "HostDown", "host": "app-2.example.com"}, True, id="the-host"),
        pytest.param({"alertname": "HostDown", "host": "app-2xexample.com"}, False, id="a-dot-is-a-dot"),
        pytest.param({"alertname": "HostDown", "host": "app-1.example.com"}, False, id="another-host"),
        pytest.param({"alertname": "PostgresNoLeader", "scope": "shop"}, False, id="the-cluster"),
        pytest.param({"alertname": "SiteDown", "host": "app-2.example.com"}, False, id="never-the-site"),
    ],
)
def test_a_host_is_silenced_and_nothing_else(labels: dict[str, str], expected: bool) -> None:
    assert silenced(of_host("app-2.example.com", *TOLD), labels) is expected


@pytest.mark.parametrize(("severity", "expected"), [("warning", True), ("critical", False)])
def test_services_that_move_are_silent_unless_it_is_critical(severity: str, expected: bool) -> None:
    labels = {"alertname": "SlowResponses", "service": "api", "severity": severity}
    assert silenced(of_services(["web", "api"], *TOLD), labels) is expected


def test_a_service_that_does_not_move_is_not_silenced() -> None:
    labels = {"alertname": "SlowResponses", "service": "updates", "severity": "warning"}
    assert not silenced(of_services(["web", "api"], *TOLD), labels)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"alertname": "HostDown", "host": "app-1.example.com"}, True, id="a-host"),
        pytest.param({"alertname": "ServiceDown", "service": "api", "escalation": "1"}, True, id="a-step"),
        pytest.param({"alertname": "PostgresTwoLeaders"}, False, id="what-no-drill-may-bring-about"),
        pytest.param({"alertname": "Watchdog"}, False, id="a-sign-of-life"),
        # Alertmanager refuses a silence that fits this.
        pytest.param({}, False, id="nothing-at-all"),
    ],
)
def test_everything_is_silenced_but_what_no_work_explains(labels: dict[str, str], expected: bool) -> None:
    assert silenced(of_everything(*TOLD), labels) is expected


def test_it_says_who_why_and_until_when() -> None:
    body = of_host("a", *TOLD).body(NOW)
    assert (body["createdBy"], body["comment"]) == TOLD[:2]
    assert (body["startsAt"], body["endsAt"]) == ("2026-11-26T22:00:00Z", "2026-11-26T22:10:00Z")


@pytest.mark.parametrize(
    ("owner", "comment", "seconds"), [("", "why", 1), ("me", " ", 1), ("me", "why", 0), ("me", "why", 43201)]
)
def test_none_is_anonymous_unexplained_or_endless(owner: str, comment: str, seconds: int) -> None:
    with pytest.raises(SlipwayError):
        of_host("a", owner, comment, seconds, NOW)


class Store(ThreadingHTTPServer):
    """Alertmanager's three calls, and what it keeps; it does not match alerts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Calls)
        self.kept: dict[str, dict[str, Any]] = {}


class _Calls(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        self._answer([{**it, "id": key} for key, it in self.server.kept.items()])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = f"id-{len(self.server.kept)}"
        self.server.kept[key] = {**body, "status": {"state": "active"}}
        self._answer({"silenceID": key})

    def do_DELETE(self) -> None:
        self.server.kept[self.path.rpartition("/")[2]]["status"] = {"state": "expired"}
        self._answer(None)

    def _answer(self, value: Any) -> None:
        text = b"" if value is None else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def store() -> Iterator[Store]:
    server = Store()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_it_begins_once_and_ends_once(store: Store) -> None:
    where, wanted = [Alertmanager("127.0.0.1", store.server_address[1])], of_host("a", *TOLD)
    assert len(bring(where, wanted, True, NOW)) == 1
    assert bring(where, wanted, True, NOW) == []
    assert bring(where, of_host("b", *TOLD), False, NOW) == []
    assert bring(where, of_host("a", "me", "another reason", 600, NOW), False, NOW) == []
    assert len(bring(where, of_host("a", "somebody else", *TOLD[1:]), False, NOW)) == 1
    assert bring(where, wanted, False, NOW) == []
    assert [it["status"]["state"] for it in store.kept.values()] == ["expired"]


def test_an_alertmanager_that_is_away_is_named() -> None:
    with pytest.raises(SlipwayError, match="does not answer"):
        Alertmanager("127.0.0.1", 9, 1).silences()


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        pytest.param({"host": "a.test"}, "host", "a\\.test", id="a-host"),
        pytest.param({"services": ["web", "api"]}, "service", "api|web", id="services"),
        pytest.param({"everything": True}, "alertname", ".+", id="everything"),
    ],
)
def test_the_module_sets_it_and_ends_it(
    store: Store, capsys: pytest.CaptureFixture[str], asked: dict[str, Any], name: str, value: str
) -> None:
    where = [{"host": "127.0.0.1", "port": store.server_address[1]}]
    for state in ("present", "absent"):
        given = {"comment": "a drill", "owner": "me", "alertmanagers": where, "state": state, **asked}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        assert json.loads(capsys.readouterr().out)["changed"]
    (kept,) = store.kept.values()
    assert kept["status"] == {"state": "expired"}
    assert (kept["matchers"][0]["name"], kept["matchers"][0]["value"]) == (name, value)


@pytest.mark.parametrize("asked", [{}, {"everything": True, "host": "a"}, {"everything": False}])
def test_the_module_is_told_exactly_what(capsys: pytest.CaptureFixture[str], asked: dict[str, Any]) -> None:
    with patch_module_args({"comment": "a drill", "owner": "me", **asked}), pytest.raises(SystemExit):
        module.main()
    assert json.loads(capsys.readouterr().out)["failed"]


def test_a_drill_is_silent_before_it_hurts_and_is_told_again_whatever_comes_of_it() -> None:
    (work,) = [one for one in yaml.safe_load(DRILL.read_text()) if "block" in one]
    begins = [one for one in work["block"] if one.get("slipway.compose.silence", {}).get("everything")]
    hurts = next(one for one in work["block"] if one["name"] == "Let the fault come and go")
    assert len(begins) == 1 and work["block"].index(begins[0]) < work["block"].index(hurts)
    (ends,) = [one for one in work["always"] if "slipway.compose.silence" in one]
    begun, ended = begins[0]["slipway.compose.silence"], ends["slipway.compose.silence"]
    assert ended["state"] == "absent"
    assert (begun["everything"], begun["comment"]) == (ended["everything"], ended["comment"])
    assert "failed_when" not in begins[0], "nothing is hurt where it cannot be silent"
