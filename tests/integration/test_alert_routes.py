"""Alerts on their way to people: a real Alertmanager with a stack's settings, real receivers, over TLS.

What arrives is looked at as Slack, PagerDuty, a mail server and a webhook get it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alert_ways import KEY, RUNBOOKS, TOKEN, Ways, alert, certified, ended, served
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.silences import (
    Alertmanager,
    bring,
    of_everything,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Rule
from real_monitoring import samples
from sinks import eventually

ALL = ("team", "pager", "bus")
DISK = "h1.test:/var is 91 % full, full in 3 hours"
SLOW = "95 of 100 answers of api take 6.2 s"


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return certified(tmp_path)


@pytest.fixture
def ways(tmp_path: Path, tls: Path) -> Iterator[Ways]:
    with served(tmp_path / "alertmanager", tls, ALL, ("bus",)) as open_:
        yield open_


def test_slack_is_told_of_an_alert_and_of_its_end(ways: Ways) -> None:
    full = alert("HostDiskHigh", "critical", DISK, host="h1.test")
    ways.send(full)
    assert eventually(ways.slacks)
    ways.send(ended(full))
    begun, over = eventually(lambda: len(found := ways.slacks()) == 2 and found)
    assert begun["channel"] == over["channel"] == "#ops"
    (first,), (last,) = begun["attachments"], over["attachments"]
    assert first["title"] == "critical: HostDiskHigh in wayfare"
    lines = first["text"].splitlines()
    assert lines[0] == DISK and re.fullmatch(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[1])
    assert lines[2:] == [
        f"what to do: {RUNBOOKS}/docs/runbooks/host.md#disk",
        "where to look: https://ops.wayfare.test/#/hosts",
    ]
    assert last["title"] == "resolved: HostDiskHigh in wayfare"
    assert re.match(rf"resolved \d\d:\d\d:\d\d UTC: {DISK}\n", last["text"])
    # A title that is clicked leads where one can look.
    assert first["title_link"] == last["title_link"] == "https://ops.wayfare.test/#/hosts"
    assert {path for path, _, _ in ways.slack.got} == {"/services/T0/B0/x"}


def test_pagerduty_has_one_incident_which_ends(ways: Ways) -> None:
    full = alert("HostDiskHigh", "critical", DISK, host="h1.test")
    other = alert("EdgeDown", "critical", "nginx of h2.test has not answered for 45 s", host="h2.test")
    ways.send(full, other)
    assert eventually(lambda: len(ways.pages()) == 2)
    ways.send(ended(full))
    assert eventually(lambda: len(ways.pages()) == 3)
    events = ways.pages()
    begun = next(one for one in events if one["payload"]["summary"] == "critical: HostDiskHigh in wayfare")
    over = events[-1]
    assert (begun["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert begun["dedup_key"] == over["dedup_key"]
    assert len({one["dedup_key"] for one in events}) == 2, "another alert is another incident"
    assert {one["routing_key"] for one in events} == {KEY}
    assert begun["payload"]["severity"] == "critical" and begun["payload"]["source"]
    told = begun["payload"]["custom_details"]["alerts"]
    assert told.startswith(f"{DISK}\n") and f"what to do: {RUNBOOKS}/docs/runbooks/host.md#disk" in told
    assert begun["client_url"] == "https://ops.wayfare.test/#/hosts"
    assert {path for path, _, _ in ways.pager.got} == {"/v2/enqueue"}


def test_a_mail_says_what_it_is_and_is_plain_text(ways: Ways) -> None:
    slow = alert(
        "SlowResponses", "critical", "95 of 100 answers of api take 6.2 s", service="api", owner="web"
    )
    ways.send(slow)
    assert eventually(ways.mails)
    ways.send(ended(slow))
    assert eventually(lambda: len(ways.mails()) == 2)
    begun, over = ways.mails()
    assert begun["Subject"] == "critical: SlowResponses of api in wayfare"
    assert over["Subject"] == "resolved: SlowResponses of api in wayfare"
    for one in (begun, over):
        assert one["From"] == "alerts@wayfare.test" and one["To"] == "ops@wayfare.test, boss@wayfare.test"
        assert [it.get_content_type() for it in one.walk() if not it.is_multipart()] == ["text/plain"]
    body = begun.get_body()
    assert body is not None
    text = body.get_content()
    assert SLOW in text and ", owner web" in text
    assert f"what to do: {RUNBOOKS}/docs/runbooks/host.md#disk" in text
    # Each of the two got it, after a login, and none of it before the connection was encrypted.
    verbs = [line.split()[0] for line in ways.mail.commands]
    assert verbs.index("STARTTLS") < verbs.index("AUTH") < verbs.index("MAIL")
    recipients = {line for line in ways.mail.commands if line.startswith("RCPT")}
    assert recipients == {"RCPT TO:<ops@wayfare.test>", "RCPT TO:<boss@wayfare.test>"}


def test_a_webhook_gets_all_of_it_with_its_token(ways: Ways) -> None:
    full = alert("HostDiskHigh", "warning", DISK, host="h1.test")
    ways.send(full)
    assert eventually(lambda: ways.posts("HostDiskHigh"))
    ways.send(ended(full))
    assert eventually(lambda: len(ways.posts("HostDiskHigh")) == 2)
    begun, over = ways.posts("HostDiskHigh")
    assert [one["status"] for one in (begun, over)] == ["firing", "resolved"]
    for one in (begun, over):
        (only,) = one["alerts"]
        assert (only["labels"], only["annotations"]) == (full["labels"], full["annotations"])
    assert {headers["authorization"] for _, headers, _ in ways.bus.got} == {f"Bearer {TOKEN}"}
    ways.pass_one_by()
    assert not [one for one in ways.subjects() if "HostDiskHigh" in one], "a warning is for the bus alone"


def test_a_group_is_one_message_and_the_same_alert_is_told_once(ways: Ways) -> None:
    gone = [
        alert("ReplicaDown", "critical", f"{host} has no api", host=host, service="api")
        for host in ("h1.test", "h2.test")
    ]
    ways.send(*gone)
    assert eventually(lambda: ways.posts("ReplicaDown"))
    # Each Prometheus sends what still fires again and again.
    ways.send(*gone)
    ways.send(gone[1])
    ways.pass_one_by()
    (only,) = ways.posts("ReplicaDown")
    assert [one["labels"]["host"] for one in only["alerts"]] == ["h1.test", "h2.test"]
    assert ways.subjects().count("critical: ReplicaDown of api in wayfare (2)") == 1
    (first,) = [one for one in ways.slacks() if "ReplicaDown" in one["attachments"][0]["title"]]
    assert "h1.test has no api\n" in first["attachments"][0]["text"]
    assert "h2.test has no api\n" in first["attachments"][0]["text"]
    assert len([one for one in ways.pages() if "ReplicaDown" in one["payload"]["summary"]]) == 1


def test_a_host_that_is_down_silences_its_containers_until_it_is_back(ways: Ways) -> None:
    down = alert("HostDown", "critical", "h1.test has not answered for 45 s", host="h1.test")
    ways.send(down)
    assert eventually(lambda: ways.posts("HostDown"))
    gone = {
        host: alert("ReplicaDown", "critical", f"{host} has no api", host=host, service="api")
        for host in ("h1.test", "h2.test")
    }
    ways.send(*gone.values())
    (first,) = eventually(lambda: ways.posts("ReplicaDown"))
    assert [one["labels"]["host"] for one in first["alerts"]] == ["h2.test"]
    (held,) = ways.known(alertname="ReplicaDown", host="h1.test")
    (cause,) = ways.known(alertname="HostDown")
    assert held["status"]["inhibitedBy"] == [cause["fingerprint"]]
    # The host is back, its containers are not: that is news.
    ways.send(ended(down))
    (_, second) = eventually(lambda: len(found := ways.posts("ReplicaDown")) == 2 and found)
    assert {one["labels"]["host"] for one in second["alerts"]} == {"h1.test", "h2.test"}


def test_a_service_that_is_down_silences_what_the_stack_itself_asks_of_it(tmp_path: Path, tls: Path) -> None:
    rule = Rule("OrdersFail", "orders > 1", 0, "critical", "They fail", "https://wiki.test/", service="api")
    with served(tmp_path / "alertmanager", tls, ALL, ("bus",), rules=(rule,)) as ways:
        down = alert("ServiceDown", "critical", "No replica of api has been healthy for 30 s", service="api")
        ways.send(down)
        assert eventually(lambda: ways.posts("ServiceDown"))
        fail = {it: alert("OrdersFail", "critical", f"of {it}", service=it) for it in ("api", "web")}
        ways.send(*fail.values())
        (first,) = eventually(lambda: ways.posts("OrdersFail"))
        assert [one["labels"]["service"] for one in first["alerts"]] == ["web"]
        (held,) = ways.known(alertname="OrdersFail", service="api")
        (cause,) = ways.known(alertname="ServiceDown")
        assert held["status"]["inhibitedBy"] == [cause["fingerprint"]]
        # Once it is up again, what still fails is told.
        ways.send(ended(down))
        (_, second) = eventually(lambda: len(found := ways.posts("OrdersFail")) == 2 and found)
        assert [one["labels"]["service"] for one in second["alerts"]] == ["api"]


def test_a_drill_is_silent_but_for_what_no_drill_explains(ways: Ways) -> None:
    now = datetime.now(UTC)
    drill = of_everything("ada@control", "drill primary_host_loss hurts wayfare on purpose", 900, now)
    where = [Alertmanager("127.0.0.1", int(ways.url.rpartition(":")[2]))]
    (said,) = bring(where, drill, True, now)
    ways.send(alert("HostDown", "critical", "h1.test has not answered for 45 s", host="h1.test"))
    ways.send(alert("PostgresTwoLeaders", "critical", "2 members lead"))
    assert eventually(lambda: ways.posts("PostgresTwoLeaders"))
    (held,) = ways.known(alertname="HostDown")
    assert [it in said for it in held["status"]["silencedBy"]] == [True]
    assert not ways.posts("HostDown")
    # What still fires when the drill is over is told.
    bring(where, drill, False, now)
    assert eventually(lambda: ways.posts("HostDown"))


def test_whoever_has_a_certificate_of_another_ca_is_told_nothing(tmp_path: Path, tls: Path) -> None:
    stranger = certified(tmp_path / "stranger")
    (stranger / "ca.crt").write_bytes((tls / "ca.crt").read_bytes())
    with served(tmp_path / "alertmanager", stranger, ALL, ()) as ways:
        ways.send(alert("HostDiskHigh", "critical", DISK, host="h1.test"))
        for kind in ("email", "slack", "pagerduty", "webhook"):
            series = f'alertmanager_notification_requests_failed_total{{integration="{kind}"}}'
            assert eventually(lambda series=series: samples(ways.url, series) > 0), kind
        assert not (ways.mails() or ways.slacks() or ways.pages() or ways.bus.got)
