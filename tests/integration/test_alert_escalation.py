"""Nobody answers a critical alert: who is told next, and what an acknowledgement does.

A real Prometheus with the rules that are deployed, and a real Alertmanager; a minute of theirs is a quarter
of a second here.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_ways import RUNBOOKS, Ways, certified, served
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.silences import (
    Alertmanager,
    bring,
    of_host,
)
from real_monitoring import Exporter, ask, prometheus
from side_by_side import free_port
from sinks import eventually, serving

pytestmark = pytest.mark.by_hand
EVERY = ("scrape_interval", "scrape_timeout", "evaluation_interval")


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
def site(tmp_path: Path) -> Iterator[Site]:
    """First the team is told; then 15, 30, 60 minutes later the pager, the team and the bus, the bus."""
    with (
        served(tmp_path / "alertmanager", certified(tmp_path), ("team",), ()) as ways,
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
