"""Alerts on their way to people: a real Alertmanager with a stack's settings, real receivers, over TLS.

What arrives is looked at as Slack, PagerDuty, a mail server and a webhook get it. Steps of escalation come
from a real Prometheus by the rules that are deployed; a minute of theirs is a quarter of a second here.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_ways import KEY, RUNBOOKS, TOKEN, Ways, alert, ended, served
from ansible_collections.slipway.compose.plugins.module_utils._core.silences import (
    Alertmanager,
    bring,
    of_host,
)
from certificates import issue
from real_monitoring import Exporter, ask, prometheus, samples
from sinks import eventually, free_port, serving

ALL = ("team", "pager", "bus")
DISK = "h1.test:/var is 91 % full, full in 3 hours"
SLOW = "95 of 100 answers of api take 6.2 s"

EVERY = ("scrape_interval", "scrape_timeout", "evaluation_interval")


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """Certificates by a CA that Alertmanager is told of, as by `ca_secret`."""
    (folder := tmp_path / "tls").mkdir()
    issue(folder, "sink.test", 90, issue(folder, "ca", 90))
    return folder


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


def test_whoever_has_a_certificate_of_another_ca_is_told_nothing(tmp_path: Path, tls: Path) -> None:
    (stranger := tmp_path / "stranger").mkdir()
    issue(stranger, "sink.test", 90, issue(stranger, "ca", 90))
    (stranger / "ca.crt").write_bytes((tls / "ca.crt").read_bytes())
    with served(tmp_path / "alertmanager", stranger, ALL, ()) as ways:
        ways.send(alert("HostDiskHigh", "critical", DISK, host="h1.test"))
        for kind in ("email", "slack", "pagerduty", "webhook"):
            series = f'alertmanager_notification_requests_failed_total{{integration="{kind}"}}'
            assert eventually(lambda series=series: samples(ways.url, series) > 0), kind
        assert not (ways.mails() or ways.slacks() or ways.pages() or ways.bus.got)


@dataclass
class Site:
    """One host, which Prometheus watches by the rules that are deployed; it begins switched off."""

    prometheus: str
    rules: Path
    ways: Ways
    switch_on: Callable[[], object]

    def escalate(self, steps: int | None = None) -> None:
        """Let it have the rules of the first steps, or of all."""
        group = yaml.safe_load(self.ways.tree["config/prometheus/rules/escalation.yml"])["groups"][0]
        rules = [
            {**one, "for": f"{int(one['for'].removesuffix('s')) // 240}s"} for one in group["rules"][:steps]
        ]
        self.rules.write_text(yaml.safe_dump({"groups": [{**group, "rules": rules}]}))
        reload = urllib.request.Request(f"{self.prometheus}/-/reload", method="POST")
        with urllib.request.urlopen(reload, timeout=30) as answer:
            assert answer.status == 200

    def steps(self) -> list[str]:
        """Steps of escalation of which the bus was told."""
        told = [one["commonLabels"].get("escalation", "") for one in self.ways.posts("HostDown")]
        return [one for one in told if one]


@contextmanager
def watched(folder: Path, ways: Ways) -> Iterator[Site]:
    folder.mkdir()
    (down,) = [
        rule
        for group in yaml.safe_load(ways.tree["config/prometheus/rules/hosts.yml"])["groups"]
        for rule in group["rules"]
        if rule["alert"] == "HostDown"
    ]
    groups = [{"name": "hosts", "rules": [{**down, "for": "1s"}]}]
    (folder / "hosts.yml").write_text(yaml.safe_dump({"groups": groups}))
    told = yaml.safe_load(ways.tree["config/prometheus/prometheus.yml"])
    port = free_port()
    alerting = {
        **told["alerting"],
        "alertmanagers": [{"static_configs": [{"targets": [ways.url.removeprefix("http://")]}]}],
    }
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"host": "h1.test"}}
    settings = {
        "global": {
            **told["global"],
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
        },
        "rule_files": ["/config/hosts.yml", "/config/escalation.yml"],
        "alerting": alerting,
        "scrape_configs": [{"job_name": "node", "static_configs": [target]}],
    }
    with ExitStack() as open_:
        url = open_.enter_context(prometheus(folder, settings, "--web.enable-lifecycle"))
        yield Site(url, folder / "escalation.yml", ways, lambda: open_.enter_context(serving(Exporter(port))))


@pytest.fixture
def site(tmp_path: Path, tls: Path) -> Iterator[Site]:
    """First the team is told; then 15, 30, 60 minutes later the pager, the team and the bus, the bus."""
    with (
        served(tmp_path / "alertmanager", tls, ("team",), ()) as ways,
        watched(tmp_path / "prometheus", ways) as made,
    ):
        yield made


def test_nobody_acknowledges_and_others_are_told_step_by_step_until_it_ends(site: Site) -> None:
    ways, title = site.ways, "critical, unanswered: HostDown in wayfare"
    assert eventually(lambda: ways.subjects() == ["critical: HostDown in wayfare"])
    site.escalate()
    assert eventually(lambda: site.steps() == ["2", "3"])
    (page,) = ways.pages()
    assert (page["event_action"], page["payload"]["summary"]) == ("trigger", title)
    said = page["payload"]["custom_details"]["alerts"]
    assert said.startswith("HostDown on h1.test has fired for 15 minutes and nobody has silenced it\n")
    assert f"what to do: {RUNBOOKS}/docs/runbooks/alerts.md\n" in said
    assert ways.subjects() == ["critical: HostDown in wayfare", title]
    attachments = [one["attachments"][0] for one in ways.slacks()]
    assert attachments[0]["text"].startswith("h1.test has not answered for 45 s\n")
    assert [one["title"] for one in attachments] == ["critical: HostDown in wayfare", title]
    assert "has fired for 30 minutes" in attachments[1]["text"]
    # The host is back: whoever was told hears of it.
    site.switch_on()
    assert eventually(lambda: [it["event_action"] for it in ways.pages()] == ["trigger", "resolve"])
    assert len({it["dedup_key"] for it in ways.pages()}) == 1
    assert eventually(lambda: ways.subjects()[2:] == ["resolved: HostDown in wayfare"] * 2)
    assert eventually(lambda: sorted(site.steps()) == ["2", "2", "3", "3"])


def test_who_acknowledges_by_a_silence_ends_the_escalation(site: Site) -> None:
    ways = site.ways
    site.escalate(steps=1)
    assert eventually(ways.pages), "the first step, as nobody has answered yet"
    port = int(ways.url.rpartition(":")[2])
    now = datetime.now(UTC)
    mine = of_host("h1.test", "ada@control", "I look at it", 3600, now)
    bring([Alertmanager("127.0.0.1", port)], mine, True, now)
    before: list[Any] = [ways.subjects(), ways.slacks(), ways.pages()]
    site.escalate()
    # Prometheus goes on to the last step, Alertmanager knows of it and keeps it to itself.
    assert eventually(lambda: ask(site.prometheus, "ALERTS%7Bescalation=%223%22,alertstate=%22firing%22%7D"))
    assert eventually(lambda: len(ways.known(alertname="HostDown")) == 4)
    assert {one["status"]["state"] for one in ways.known(alertname="HostDown")} == {"suppressed"}
    assert [ways.subjects(), ways.slacks(), ways.pages(), site.steps()] == [*before, []]
