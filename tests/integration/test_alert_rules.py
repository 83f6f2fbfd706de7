"""Alert rules and routing as they are rendered, by promtool and amtool of the images that are deployed.

`tests/alerts/*.yml` hold one case or more for every rule, against invented series. They are run on a stack
that has everything: backups, third parties, a log store, a second site, three steps of escalation.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
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
    with_second,
    with_service,
    with_slo,
    with_stores,
    with_traces,
)

CASES = Path(__file__).resolve().parents[1] / "alerts"
OWNED = with_retention(with_service(stack(), "web", owner="web-team"))
CARED = with_other_site(with_log_exports(with_traces(with_second(with_outside(OWNED)))))
STACK = with_alerts(with_stores(with_listeners(CARED)))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a monitoring host, readable for the user of the images."""
    root = tmp_path_factory.mktemp("rendered")
    root.chmod(0o755)
    for path, content in rendered(STACK, "h3.test").items():
        if path.startswith(("config/prometheus/", "config/alertmanager/")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding="utf-8")
    # Apart from the others: every evaluation of every case would be one of these many rules, too.
    promised = root / "config/promised/slo.yml"
    promised.parent.mkdir()
    text = rendered(with_slo(STACK), "h3.test")["config/prometheus/rules/slo.yml"]
    promised.write_text(text, encoding="utf-8")
    return root / "config"


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


def test_alertmanager_takes_its_configuration(tree: Path) -> None:
    command = ["amtool", "check-config", "/config/alertmanager.yml"]
    inside("alertmanager", *command, volumes={tree / "alertmanager": "/config"})


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=HostDown severity=critical host=h1.test", "team+pager"),
        ("alertname=HostDiskHigh severity=warning host=h1.test", "team"),
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
