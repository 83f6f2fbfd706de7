"""Alert rules and routing as they are rendered, by promtool and amtool of the images that are deployed.

`tests/alerts/*.yml` hold one case or more for every rule, against invented series. They are run on a stack
that has everything: backups, third parties, a log store, a second site, three steps of escalation, own rules.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.docker.engine import Engine
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import Rule
from images import newest
from whole_stack import (
    rendered,
    stack,
    with_alerts,
    with_listeners,
    with_log_exports,
    with_other_site,
    with_outside,
    with_retention,
    with_rules,
    with_second,
    with_service,
    with_slo,
    with_stores,
    with_traces,
)

CASES = Path(__file__).resolve().parents[1] / "alerts"
OWNED = with_retention(with_service(stack(), "web", owner="web-team"))
CARED = with_other_site(with_log_exports(with_traces(with_second(with_outside(OWNED)))))
STACK = with_rules(with_alerts(with_stores(with_listeners(CARED))))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a monitoring host, readable for the user of the images."""
    root = tmp_path_factory.mktemp("rendered")
    written(STACK, root)
    # Apart from the others: every evaluation of every case would be one of these many rules, too.
    promised = root / "config/promised/slo.yml"
    promised.parent.mkdir()
    text = rendered(with_slo(STACK), "h3.test")["config/prometheus/rules/slo.yml"]
    promised.write_text(text, encoding="utf-8")
    return root / "config"


def written(base: Stack, root: Path) -> None:
    root.chmod(0o755)
    for path, content in rendered(base, "h3.test").items():
        if path.startswith(("config/prometheus/", "config/alertmanager/")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding="utf-8")


def inside(image: str, *command: str, volumes: dict[Path, str]) -> str:
    """What a command says in an image, without a network; a failure is the test's."""
    mounts = [f"--volume={source}:{target}:ro" for source, target in volumes.items()]
    argv = ["docker", "run", "--rm", "--network=none", *mounts, newest(image), *command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("cases", sorted(CASES.glob("*.yml")), ids=lambda path: path.stem)
def test_each_rule_fires_when_it_should_and_only_then(tree: Path, cases: Path) -> None:
    volumes = {tree / "prometheus/rules": "/rules", tree / "promised": "/promised", CASES: "/cases"}
    inside("prometheus", "promtool", "test", "rules", f"/cases/{cases.name}", volumes=volumes)


def test_prometheus_takes_its_configuration(tree: Path) -> None:
    command = ["promtool", "check", "config", "--syntax-only", "/config/prometheus.yml"]
    inside("prometheus", *command, volumes={tree / "prometheus": "/config"})


def judged_as_on_a_host(folder: Path) -> None:
    """By what a deployment asks of a new configuration before it touches anything."""

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=600)
        return done.returncode, done.stdout, done.stderr

    component = COMPONENTS["prometheus"]
    Engine(run, "wayfare").check(newest("prometheus"), component.uid, str(folder), component.check)


def test_a_deployment_takes_rules_of_the_users_own(tree: Path) -> None:
    judged_as_on_a_host(tree / "prometheus")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"expr": "limitk(1, orders)"},
            "could not parse expression: 1:1: parse error: unknown function with",
        ),
        ({"summary": "{{ $value | humanise }}"}, 'annotation "summary": template: '),
    ],
)
def test_a_deployment_refuses_what_only_promtool_finds_and_names_the_rule(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    rule = Rule("OrdersWait", "orders > 1", 0, "warning", "They wait", "https://wiki.test/")
    written(with_rules(STACK, replace(rule, **change)), tmp_path)
    with pytest.raises(SlipwayError) as refused:
        judged_as_on_a_host(tmp_path / "config/prometheus")
    place = '"stack/components/monitoring/alerts/rules: OrdersWait", rule 1, "OrdersWait"'
    assert f"{place}: {said}" in refused.value.problem
    assert "what ran before still runs" in refused.value.remedy


def test_alertmanager_takes_its_configuration(tree: Path) -> None:
    command = ["amtool", "check-config", "/config/alertmanager.yml"]
    inside("alertmanager", *command, volumes={tree / "alertmanager": "/config"})


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=HostDown severity=critical host=h1.test", "team+pager"),
        ("alertname=HostDiskHigh severity=warning host=h1.test", "team"),
        ("alertname=OrdersFail severity=critical service=api country=de team=sales", "team+pager"),
        ("alertname=OrdersFail severity=critical service=api country=de team=sales escalation=1", "pager"),
        ("alertname=PayoutsWait severity=warning", "team"),
        ("alertname=SlowResponses severity=warning service=web owner=web-team", "bus"),
        ("alertname=SlowResponses severity=critical service=web owner=web-team", "team+pager"),
        ("alertname=SlowResponses severity=warning service=journeys", "team"),
        ("alertname=HostDown severity=critical host=h1.test escalation=1", "pager"),
        ("alertname=HostDown severity=critical host=h1.test escalation=2", "team+bus"),
        ("alertname=HostDown severity=critical host=h1.test escalation=3", "bus"),
        ("alertname=Watchdog severity=none", "Watchdog"),
        ("alertname=SiteAnswers severity=none", "SiteAnswers"),
        ("alertname=Unknown severity=other", "nobody"),
    ],
)
def test_an_alert_goes_to(tree: Path, labels: str, receiver: str) -> None:
    command = [
        "amtool",
        "config",
        "routes",
        "test",
        "--config.file=/config/alertmanager.yml",
        *labels.split(),
    ]
    told = inside("alertmanager", *command, volumes={tree / "alertmanager": "/config"})
    assert told.strip() == receiver
