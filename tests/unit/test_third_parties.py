"""Third parties: what is refused, what hosts are told, and what the program there makes of answers."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import socketserver
import threading
import time
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.filter.host_stack import host_stack
from ansible_collections.slipway.compose.plugins.module_utils._core import asking
from ansible_collections.slipway.compose.plugins.module_utils._core import third_party_watch as program
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.model_components import ThirdParty
from ansible_collections.slipway.compose.plugins.module_utils._core.third_party_watch import (
    Answer,
    Party,
    Standing,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.topology import topology
from ansible_collections.slipway.compose.plugins.module_utils._core.validation import parse_stack
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from whole_stack import CERTIFICATE, IMAGES, SECRETS, rendered, stack, with_outside

URL = "https://api.example.com/health"
FOLDER = "config/host/third-parties"


def party(**changes: Any) -> Any:
    usual = {"url": URL, "method": "GET", "expect": 200, "every": 60, "within": 10000, "slow": 2000}
    return Party(**{**usual, "few": None, "authorization": None, **changes})


def declared(definition: dict[str, Any], one: Any, **secrets: Any) -> dict[str, Any]:
    definition["components"] = {"monitoring": {"outside": {"payments": one}}}
    definition["secrets"] = secrets
    return definition


def test_a_url_is_all_that_must_be_said(definition: dict[str, Any], hosts: list[Host]) -> None:
    told = parse_stack(declared(definition, {"url": URL}), hosts).components.monitoring.outside
    assert told == {"payments": ThirdParty(URL, "GET", 200, 60, 10000, 2000, None, None, "warning")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "api.example.com"}, '/url: is "api.example.com", not a URL'),
        ({"url": "file:///etc/passwd"}, '/url: is "file:///etc/passwd", not a URL'),
        ({"url": "https://api.example.com:70000/"}, "/url: has port 70000. Write one from 1 to 65535"),
        ({"url": "https://api.example.com:0"}, "/url: has port 0. Write one from 1 to 65535"),
        ({"method": "POST"}, '/method: is "POST", not one of GET, HEAD'),
        ({"expect": 429}, "/expect: is 429, which says that a limit is reached. Expect the status"),
        ({"expect": 99}, "/expect: is 99, out of range. Write a whole number from 200 to 599"),
        ({"every": "1s"}, '/every: is "1s", out of range. Write a duration from 15s to 1d'),
        ({"slow": "10s"}, "/slow: is 10000 ms, and after 10000 ms an answer counts as none. Write less than"),
        (
            {"every": "15s", "within": "16s"},
            "/within: is 16000 ms, longer than the 15 s until it is asked again. Write 15s or less, or",
        ),
        ({"few": 0}, "/few: is 0, out of range"),
        ({"severity": "page"}, '/severity: is "page", not one of critical, warning'),
        ({"authorization_secret": "pay"}, "/authorization_secret: pay is not declared. "),
        (
            {"authorization_secret": "made"},
            "/authorization_secret: made is generated, so nobody else knows it. Remove generate",
        ),
        (
            {"url": "http://api.example.com", "authorization_secret": "given"},
            "/url: would show the secret to everybody on the way. Write https",
        ),
        ({"header": "x"}, "/header: is not a known key. "),
    ],
)
def test_what_cannot_work_is_refused(
    definition: dict[str, Any], hosts: list[Host], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(declared(definition, {"url": URL, **change}, given={}, made={"generate": 16}), hosts)
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"stack/components/monitoring/outside/payments{said}")


def test_several_faults_are_told_at_once(definition: dict[str, Any], hosts: list[Host]) -> None:
    one = {"url": "nowhere", "within": "never", "authorization_secret": "pay", "expect": "ok"}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(declared(definition, one), hosts)
    found = sorted(problem.path.rpartition("/")[2] for problem in refused.value.problems)
    assert found == ["authorization_secret", "expect", "url", "within"]


def test_monitoring_hosts_are_given_the_list_and_each_secret_as_a_file() -> None:
    base = with_outside(stack())
    laid = topology(base)
    images = dict.fromkeys([*IMAGES, *base.services], "i")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {})
    for host, view in laid.views.items():
        files = {it.path: it for it in render(laid, view, material) if SECRETS["third_party"] in it.content}
        found = {path: (it.mode, it.owner) for path, it in files.items()}
        assert found == ({f"{FOLDER}/secrets/third_party": (0o400, 0)} if host == "h3.test" else {})
    told = json.loads(rendered(base, "h3.test")[f"{FOLDER}/list.json"])
    # As the program reads them: key by key.
    assert Party(**told["payments"]) == party(
        url="https://api.pay.test/health?deep=1", few=100, authorization="third_party"
    )
    assert Party(**told["maps"]) == party(url="https://maps.test/up", method="HEAD", expect=204)


def test_a_stack_that_lists_none_is_as_it_was() -> None:
    tree = rendered(stack(), "h3.test")
    assert not [path for path in tree if "third" in path]
    assert "third_party" not in tree["config/alertmanager/alertmanager.yml"]


def test_a_critical_alert_of_one_silences_no_warning_of_another() -> None:
    told = yaml.safe_load(rendered(with_outside(stack()), "h3.test")["config/alertmanager/alertmanager.yml"])
    (rule,) = [it for it in told["inhibit_rules"] if it["source_matchers"] == ['severity = "critical"']]
    assert {"alertname", "host", "third_party"} <= set(rule["equal"])


@pytest.mark.parametrize(
    ("monitoring", "asking"),
    [
        pytest.param({"outside": {"maps": {"url": URL}}}, ["c"], id="the-third-host"),
        pytest.param({"outside": {"maps": {"url": URL}}, "hosts": ["a", "d"]}, ["a", "d"], id="those-named"),
        pytest.param({"outside": {}}, [], id="nobody-to-ask"),
        pytest.param(None, [], id="nothing-said"),
    ],
)
def test_the_program_stands_where_the_monitoring_does(monitoring: Any, asking: list[str]) -> None:
    peers = ["a", "b", "c", "d"]
    told = {"components": {"monitoring": monitoring}}
    found = [host_stack(told, host, peers, {it: {} for it in peers}) for host in peers]
    assert [host for host, it in zip(peers, found, strict=True) if it.get("third_parties")] == asking


def headers(**told: str) -> Message:
    made = Message()
    for name, value in told.items():
        made[name.replace("_", "-")] = value
    return made


@pytest.mark.parametrize(
    ("told", "limit", "left"),
    [
        pytest.param({}, None, None, id="nothing-said"),
        pytest.param({"X_RateLimit_Limit": "5000", "X_RateLimit_Remaining": "4999"}, 5000, 4999, id="usual"),
        pytest.param({"x_rate_limit_limit": "900", "x_rate_limit_remaining": "0"}, 900, 0, id="older"),
        pytest.param({"RateLimit_Limit": "10, 10;w=1", "RateLimit_Remaining": "7"}, 10, 7, id="a-draft"),
        pytest.param({"RateLimit": "limit=100, remaining=50, reset=5"}, 100, 50, id="another-draft"),
        pytest.param({"RateLimit": '"hour";r=50;t=30, "day";r=9;t=99'}, None, 9, id="the-newest-draft"),
        pytest.param({"X_RateLimit_Remaining": "120, 3"}, None, 3, id="two-windows"),
        pytest.param({"X_RateLimit_Remaining": "-1"}, None, None, id="no-number-of-requests"),
        pytest.param({"X_RateLimit_Remaining": "many"}, None, None, id="no-number"),
        pytest.param({"RateLimit_Remaining": "1", "X_RateLimit_Remaining": "2"}, None, 1, id="both"),
    ],
)
def test_limits_are_read_from_headers(told: dict[str, str], limit: int | None, left: int | None) -> None:
    answer = program.judged(party(), 200, headers(**told), 0.1)
    assert (answer.limit, answer.remaining, answer.limited) == (limit, left, left == 0)
    assert answer.outcome == "ok"


@pytest.mark.parametrize(
    ("status", "seconds", "outcome", "fault"),
    [
        (200, 0.1, "ok", ""),
        (200, 9.9, "ok", ""),
        (200, 10.1, "failed", "it answered after 10.1 s"),
        (503, 0.1, "failed", "it answered 503, expected 200"),
        (302, 0.1, "failed", "it answered 302, expected 200"),
        (429, 0.1, "limited", "it answered 429: too many requests"),
    ],
)
def test_an_answer_is_judged(status: int, seconds: float, outcome: str, fault: str) -> None:
    answer = program.judged(party(), status, headers(), seconds)
    assert (answer.outcome, answer.fault) == (outcome, fault)
    assert answer.limited is (status == 429)


def test_how_long_to_wait_is_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert asking.patience("120") == 120
    assert 3000 < asking.patience(later) <= 3600
    assert asking.patience("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert [asking.patience(said) for said in (None, "soon", "", "Fri, 99 Dec 99999")] == [None] * 4


def answered(outcome: str, seconds: float = 0.1, **told: Any) -> Any:
    said = {"ok": "", "failed": "it answered 503, expected 200", "limited": "it answered 429"}
    return Answer(outcome, 200, seconds, said[outcome], **told)


def test_failures_and_slow_answers_are_counted_in_a_row() -> None:
    one = Standing(party())
    counted = []
    for answer in [
        *[answered("failed")] * 2,
        answered("ok", 3.0),
        answered("ok", 2.5),
        # A limit is no failure, and a failure is not slow.
        answered("failed", 10.0),
        answered("limited"),
        answered("ok", 2.0),
    ]:
        one.note(answer, 0.0)
        counted.append((one.failures, one.slow))
    assert counted == [(1, 0), (2, 0), (0, 1), (0, 2), (1, 0), (0, 0), (0, 0)]
    assert one.counts == {"ok": 3, "failed": 3, "limited": 1}


def test_the_journal_has_one_line_for_each_change() -> None:
    one = Standing(party())
    told = [one.note(answered(outcome), 0.0) for outcome in ("ok", "failed", "failed", "ok", "ok")]
    assert told == ["", "it answered 503, expected 200", "", "it answers as expected again", ""]


@pytest.mark.parametrize(
    ("answer", "due"),
    [
        pytest.param(answered("ok"), 160.0, id="as-often-as-the-stack-says"),
        pytest.param(answered("limited", retry_after=600.0), 703.0, id="not-before-it-may-be-asked"),
        pytest.param(answered("limited", retry_after=5.0), 160.0, id="not-more-often-either"),
        pytest.param(answered("limited", retry_after=1e9), 3703.0, id="within-an-hour-in-any-case"),
        pytest.param(answered("failed", retry_after=600.0), 160.0, id="what-is-down-is-watched"),
    ],
)
def test_who_wishes_it_is_left_alone(answer: Any, due: float) -> None:
    one = Standing(party(), begun=100.0)
    one.note(answer, 103.0)
    assert one.due == due


def test_what_is_told_is_all_there_before_the_first_answer_but_answers() -> None:
    told = program.text({"payments": Standing(party(few=100))})
    values = [line for line in told.splitlines() if not line.startswith("#")]
    assert values == [
        'slipway_third_party_slow_seconds{third_party="payments"} 2.0',
        'slipway_third_party_few{third_party="payments"} 100',
        'slipway_third_party_asked_total{third_party="payments",outcome="ok"} 0',
        'slipway_third_party_asked_total{third_party="payments",outcome="limited"} 0',
        'slipway_third_party_asked_total{third_party="payments",outcome="failed"} 0',
    ]


def test_an_answer_is_told_with_what_it_says_of_limits() -> None:
    one = Standing(party())
    one.note(answered("limited", limit=60, remaining=0, retry_after=30.0), 0.0)
    values = [line for line in program.text({"maps": one}).splitlines() if not line.startswith("#")]
    assert values[4:] == [
        'slipway_third_party_up{third_party="maps"} 0',
        'slipway_third_party_status{third_party="maps"} 200',
        'slipway_third_party_seconds{third_party="maps"} 0.1',
        'slipway_third_party_failures_in_a_row{third_party="maps"} 0',
        'slipway_third_party_slow_in_a_row{third_party="maps"} 0',
        'slipway_third_party_limited{third_party="maps"} 1',
        'slipway_third_party_limit{third_party="maps"} 60',
        'slipway_third_party_remaining{third_party="maps"} 0',
        'slipway_third_party_retry_after_seconds{third_party="maps"} 30.0',
    ]
    one.note(answered("ok"), 0.0)
    # What the newest answer does not say is not known any more.
    assert "remaining" not in program.text({"maps": one})


class Api(http.server.BaseHTTPRequestHandler):
    seen: list[tuple[str, str, str | None]] = []
    status = 200
    more: dict[str, str] = {}

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        for name, value in self.more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Api, "seen", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_request_is_what_the_stack_says_with_the_secret_of_the_file(api: str, tmp_path: Path) -> None:
    (tmp_path / "pay").write_text("Bearer abc\n")
    asked = party(url=f"{api}/up?deep=1", method="HEAD", authorization="pay")
    assert program.ask(asked, tmp_path).outcome == "ok"
    assert program.ask(party(url=f"{api}/plain"), tmp_path).outcome == "ok"
    assert Api.seen == [("HEAD", "/up?deep=1", "Bearer abc"), ("GET", "/plain", None)]


def test_a_redirect_is_an_answer_and_is_not_followed(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Api, "status", 301)
    monkeypatch.setattr(Api, "more", {"Location": f"{api}/elsewhere"})
    answer = program.ask(party(url=f"{api}/here", expect=301), tmp_path)
    assert (answer.outcome, answer.status) == ("ok", 301)
    assert [path for _method, path, _secret in Api.seen] == ["/here"]


def test_what_does_not_answer_is_a_fault_with_a_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        asked = party(url=f"http://127.0.0.1:{port}/", within=100)
        assert program.ask(asked, tmp_path).fault == "no answer in time"
    answer = program.ask(party(url=f"http://127.0.0.1:{port}/"), tmp_path)
    assert (answer.outcome, answer.status, answer.fault) == ("failed", 0, "Connection refused")


class Drip(socketserver.BaseRequestHandler):
    """Answers byte by byte, and would go on for half a minute."""

    begun = b""
    told_all: list[bool] = []

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.sendall(self.begun)
            for _ in range(600):
                self.request.sendall(b"0")
                time.sleep(0.05)
            self.told_all.append(True)


@pytest.fixture
def drip(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Drip, "told_all", [])
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("begun", "fault"),
    [
        pytest.param(b"HTTP/1.1 2", "no answer in time", id="in-its-status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", "it answered after ", id="in-its-headers"),
    ],
)
def test_an_answer_that_comes_byte_by_byte_is_none(
    drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes, fault: str
) -> None:
    monkeypatch.setattr(Drip, "begun", begun)
    answer = program.ask(party(url=drip, within=300), tmp_path)
    assert answer.outcome == "failed"
    assert answer.fault.startswith(fault)
    assert not Drip.told_all


def test_a_secret_that_no_header_can_hold_is_not_told(api: str, tmp_path: Path) -> None:
    (tmp_path / "pay").write_text("Bearer one\nBearer two")
    answer = program.ask(party(url=api, authorization="pay"), tmp_path)
    assert (answer.outcome, answer.fault) == ("failed", "what was sent or answered is no HTTP: ValueError")
    answer = program.ask(party(url=api, authorization="lost"), tmp_path)
    assert answer.fault == "No such file or directory"


def listed(current: Path, **urls: str) -> None:
    folder = current / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    told = {name: {**vars(party()), "url": url} for name, url in urls.items()}
    (folder / "list.json").write_text(json.dumps(told))


def until(question: Any) -> None:
    limit = time.monotonic() + 60
    while not question():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_the_list_is_that_of_the_release_that_serves(api: str, tmp_path: Path) -> None:
    listed(tmp_path / "one", maps=f"{api}/maps", payments=f"{api}/payments")
    listed(tmp_path / "two", maps=f"{api}/maps", payments=f"{api}/v2")
    current = tmp_path / "current"
    watch = program.Watch(current)
    watch.turn(0.0)
    assert watch.standings == {}
    current.symlink_to("one")

    def turned(now: float, **counts: int) -> bool:
        watch.turn(now)
        return {name: it.counts["ok"] for name, it in watch.standings.items()} == counts

    until(lambda: turned(1.0, maps=1, payments=1))
    # Nobody is asked before the time has come.
    assert turned(60.0, maps=1, payments=1) and not any(it.asked for it in watch.standings.values())
    until(lambda: turned(61.0, maps=2, payments=2))
    current.unlink()
    current.symlink_to("two")
    # Another address is another party, and is asked at once.
    until(lambda: turned(62.0, maps=2, payments=1))
    asked = [path for _method, path, _secret in Api.seen]
    assert [asked.count(path) for path in ("/maps", "/payments", "/v2")] == [2, 2, 1]
    listed(tmp_path / "two")
    watch.turn(63.0)
    assert program.text(watch.standings) == ""


def test_those_who_answer_byte_by_byte_do_not_hold_up_the_others(
    api: str, drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drip, "begun", b"HTTP/1.1 200 OK\r\nX-Long: ")
    stuck = {f"stuck{number:02}": drip for number in range(program.AT_ONCE)}
    listed(tmp_path, **stuck, well=api)
    file = tmp_path / FOLDER / "list.json"
    told = json.loads(file.read_text())
    for name in stuck:
        told[name]["within"] = 300
    file.write_text(json.dumps(told))
    watch = program.Watch(tmp_path)

    def noted() -> bool:
        watch.turn(1.0)
        return all(one.last for one in watch.standings.values())

    until(noted)
    assert watch.standings.pop("well").counts == {"ok": 1}
    assert [one.counts for one in watch.standings.values()] == [{"failed": 1}] * len(stuck)
    assert not Drip.told_all
