"""Alert rules and Alertmanager's configuration: rendered from a stack's settings, read back, and judged."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Pair, Thresholds
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from whole_stack import (
    CERTIFICATE,
    IMAGES,
    SECRETS,
    rendered,
    rules,
    stack,
    with_alerts,
    with_backup,
    with_everything,
    with_rules,
    with_service,
)

CASES = Path(__file__).resolve().parents[1] / "alerts"
RULES = Path(__file__).resolve().parents[2] / "compose/config/prometheus/rules"
WHOLE = with_alerts(with_everything(stack()))
OWN_SECRETS = {"alert_token", "alert_url", "mail_ca", "mail_password", "pager_key"}


def alertmanager(base: Stack) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(rendered(base, "h3.test")["config/alertmanager/alertmanager.yml"])
    return parsed


@pytest.mark.parametrize("rule", rules(WHOLE), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_what_and_where_to_read(rule: dict[str, Any]) -> None:
    escalated = rule["alert"].startswith("Unanswered")
    known = {"SiteAnswers": "none", "Watchdog": "none"}.get(rule["alert"])
    assert escalated or rule["labels"]["severity"] in ((known,) if known else ("critical", "warning"))
    assert rule["annotations"].keys() == {"summary", "runbook_url", "dashboard"}
    assert re.fullmatch(r"docs/runbooks/[a-z-]+\.md(#[a-z-]+)?", rule["annotations"]["runbook_url"])


def test_a_summary_has_a_number_or_says_for_how_long() -> None:
    # What a proof of a backup says, a sign of life, and whether WAL is still there: yes or no.
    plain = {"BackupNotProven", "SecondSiteLost", "SiteAnswers", "Watchdog"}
    for rule in rules(WHOLE):
        said = rule["annotations"]["summary"]
        counted = re.search(r"\$value|[0-9]|minute|hour|an hour", said)
        assert counted or rule["alert"] in plain, said


def test_no_file_of_rules_is_left_out_here() -> None:
    """Some rules are there only with what a stack may lack: left out, nobody would judge them."""
    tree = rendered(with_rules(WHOLE), "h3.test")
    told = {path.rpartition("/")[2] for path in tree if "/prometheus/rules/" in path}
    assert told == {path.name.removesuffix(".j2") for path in RULES.iterdir()}


def test_every_rule_is_shown_to_fire_and_not_to_fire() -> None:
    shown: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for path in CASES.glob("*.yml"):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for told in case.get("alert_rule_test", []):
                expected = told.get("exp_alerts") or []
                for severity in ("critical", "warning", "none"):
                    fires = any(it["exp_labels"]["severity"] == severity for it in expected)
                    shown[told["alertname"], severity].add(fires)
    wanted = {(rule["alert"], rule["labels"].get("severity", "critical")) for rule in rules(WHOLE)}
    # A sign of life never ends.
    lacking = {key for key in wanted if not shown[key] >= ({True} if key[0] == "Watchdog" else {True, False})}
    assert lacking == set()


def test_numbers_are_those_of_the_stack() -> None:
    chosen = Thresholds(
        cpu=Pair(60, 75), latency=Pair(1000, 4000), replica_lag=1 << 30, lock_wait=Pair(7, 70)
    )
    told = {
        (rule["alert"], rule["labels"].get("severity")): rule["expr"]
        for rule in rules(with_alerts(with_backup(stack(), every=4), thresholds=chosen))
    }
    assert told["HostCpuHigh", "warning"].endswith("> 0.6")
    assert told["HostCpuHigh", "critical"].endswith("> 0.75")
    assert "> 1.0" in told["SlowResponses", "warning"] and "> 4.0" in told["SlowResponses", "critical"]
    assert told["PostgresBlockedByLocks", "warning"].endswith("> 7")
    assert told["PostgresBlockedByLocks", "critical"].endswith("> 70")
    assert "- 1073741824)" in told["ReplicationLag", "warning"]
    assert "> 6 * 3600 unless" in told["BackupTooOld", "critical"]


def test_runbooks_are_where_the_stack_says() -> None:
    told = rules(with_alerts(stack(), runbooks="https://git.test/slipway/blob/main/"))
    starts = {rule["annotations"]["runbook_url"].rpartition("docs/runbooks/")[0] for rule in told}
    assert starts == {"https://git.test/slipway/blob/main/"}


def test_without_settings_nobody_is_told() -> None:
    told = alertmanager(stack())
    assert told["receivers"] == [{"name": "nobody"}]
    assert {route["receiver"] for route in told["route"]["routes"]} == {"nobody"}
    assert not [
        path for path in rendered(stack(), "h3.test") if path.startswith("config/alertmanager/secrets")
    ]
    assert not [rule for rule in rules(stack()) if rule["alert"].startswith("Unanswered")]


def test_secrets_are_files_that_only_alertmanager_reads() -> None:
    laid = topology(WHOLE)
    images = dict.fromkeys([*IMAGES, *WHOLE.services], "i")
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(images, SECRETS, "CA", certificates, {})
    for host, view in laid.views.items():
        files = {file.path: file for file in render(laid, view, material)}
        found = {path: it for path, it in files.items() if path.startswith("config/alertmanager/secrets/")}
        assert {path.rpartition("/")[2] for path in found} == (OWN_SECRETS if host == "h3.test" else set())
        assert {(it.mode, it.owner) for it in found.values()} <= {(0o400, 10001)}
        elsewhere = [it.content for path, it in files.items() if path not in found]
        assert not [name for name in OWN_SECRETS if any(SECRETS[name] in text for text in elsewhere)]


def test_a_message_names_files_of_secrets_that_are_there() -> None:
    text = rendered(WHOLE, "h3.test")["config/alertmanager/alertmanager.yml"]
    assert set(re.findall(r"/config/secrets/(\w+)", text)) == OWN_SECRETS


def test_only_a_sign_of_life_has_no_end() -> None:
    parts = [
        (receiver["name"], one["send_resolved"])
        for receiver in alertmanager(WHOLE)["receivers"]
        for kind, entries in receiver.items()
        if kind != "name"
        for one in entries
    ]
    assert {name for name, resolved in parts if not resolved} == {"SiteAnswers", "Watchdog"}
    assert len(parts) > 6


def test_no_alert_silences_itself_or_a_cause() -> None:
    causes = ("EnvironmentDown", "HostDown", "SiteDown", "ServiceDown")
    for rule in alertmanager(WHOLE)["inhibit_rules"]:
        source = re.search(r'alertname = "(\w+)"', rule["source_matchers"][0])
        target = " ".join(rule["target_matchers"])
        if source and "!~" in target:
            named = re.search(r'alertname !~ "([^"]+)"', target)
            above = causes[: causes.index(source[1]) + 1] if source[1] != "EnvironmentDown" else causes[:1]
            signs = {"SiteAnswers", "Watchdog"}
            assert named and {*above, *signs} >= {source[1], *signs} <= set(named[1].split("|"))


def test_owners_are_told_by_service() -> None:
    base = with_service(with_service(stack(), "web", owner="front"), "api", owner="front")
    told = yaml.safe_load(rendered(base, "h3.test")["config/prometheus/prometheus.yml"])
    relabelled = told["alerting"]["alert_relabel_configs"]
    assert relabelled[0] == {"source_labels": ["escalates"], "regex": "(.+)", "target_label": "alertname"}
    assert relabelled[1] == {"regex": "escalates", "action": "labeldrop"}
    assert [(it["regex"], it["replacement"]) for it in relabelled[2:]] == [("web|api", "front")]


def test_an_alert_with_an_owner_waits_as_long_as_any_other() -> None:
    slow = replace(WHOLE.components.monitoring.alerts, wait=45, interval=60, repeat=3600)
    base = replace(
        WHOLE,
        components=replace(WHOLE.components, monitoring=replace(WHOLE.components.monitoring, alerts=slow)),
    )
    for route in alertmanager(base)["route"]["routes"][2:]:
        assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == (
            "45s",
            "60s",
            "3600s",
        )
