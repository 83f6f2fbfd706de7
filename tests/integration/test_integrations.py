"""What others are told, over HTTPS by the real programs: how services fare, from a real Prometheus."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.availability import SETTLED
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.availability_list import FOLDER
from ansible_collections.slipway.compose.plugins.module_utils._core.monitoring.availability_work import Work
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import (
    AlertWebhook,
    Receiver,
    Watchdog,
)
from certificates import issue
from host_programs import installed
from real_monitoring import Exporter, alertmanager, ask, get, prometheus, samples
from sinks import Sink, eventually, serving
from whole_stack import SECRETS, rendered, stack, with_alerts, with_stores

ROOT = Path(__file__).resolve().parents[2]
LOGIN = f"shop:{SECRETS['store_password']}"
KEY = base64.b64encode(b"k" * 32).decode()
RULES = """
groups:
  - name: tried
    interval: 1s
    rules:
      - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
      - {alert: ServiceDown, expr: 'tried_down == 1', labels: {severity: critical}}
"""


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Certificates by a CA that this process and its children trust."""
    folder = tmp_path / "tls"
    folder.mkdir()
    issue(folder, "sink.test", 90, issue(folder, "ca", 90))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
    monkeypatch.setenv("no_proxy", "*")
    return folder


class Site:
    """A stack of one service whose alert a test makes fire, and a status page that hears of it."""

    def __init__(self, root: Path, page: Sink, exporter: Exporter, address: str) -> None:
        self.root, self.page, self.exporter, self.prometheus = root, page, exporter, address

    def list(self, **changes: Any) -> None:
        hook = {"on": ["down", "up"], "url": None, "url_secret": "url", "signing_secret": "key"}
        told = {
            "prometheus": self.prometheus,
            "where": {"stack": "shop", "environment": "production"},
            "services": ["api", "web"],
            "edges": 2,
            "hooks": [{**hook, "format": "json", **changes}],
        }
        secrets = self.root / "current" / FOLDER / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        (self.root / "state/metrics").mkdir(parents=True, exist_ok=True)
        (secrets / "url").write_text(f"{self.page.url}/hooks/5f0c3e\n")
        (secrets / "key").write_text(f"whsec_{KEY}\n")
        (secrets.parent / "list.json").write_text(json.dumps(told))

    def api_is(self, down: bool) -> None:
        """When it returns, the rules have seen it."""
        self.exporter.text = f'tried_down{{service="api"}} {int(down)}\n'
        query = "ALERTS%7Balertname=%22ServiceDown%22%7D"
        assert eventually(lambda: bool(ask(self.prometheus, query)) == down)

    def heard(self) -> list[tuple[str, str]]:
        return [(json.loads(body)["event"], headers["webhook-id"]) for _, headers, body in self.page.got]

    def metrics(self) -> str:
        return (self.root / "state/metrics/availability.prom").read_text()


@pytest.fixture
def site(tmp_path: Path, tls: Path) -> Iterator[Site]:
    config = tmp_path / "config"
    config.mkdir()
    (config / "rules.yml").write_text(RULES)
    with ExitStack() as open_:
        exporter = Exporter()
        open_.enter_context(serving(exporter))
        page = Sink(tls)
        open_.enter_context(serving(page))
        targets = [{"targets": [f"127.0.0.1:{exporter.server_address[1]}"]}]
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["/config/rules.yml"],
            "scrape_configs": [{"job_name": "tried", "static_configs": targets}],
        }
        address = open_.enter_context(prometheus(config, settings))
        made = Site(tmp_path / "stack", page, exporter, address)
        made.list()
        assert eventually(lambda: ask(address, "ALERTS"))
        yield made


def genuine(headers: dict[str, str], body: bytes) -> bool:
    """As a receiver verifies it, by https://www.standardwebhooks.com."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    recent = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return recent and hmac.compare_digest(headers["webhook-signature"], f"v1,{expected}")


def test_the_program_of_the_host_tells_a_status_page_that_a_service_is_down(site: Site) -> None:
    site.api_is(down=True)
    program = installed("availability", site.root / "program")
    journal = (site.root / "journal").open("w")
    environment = {"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-I", str(program), str(site.root)]
    process = subprocess.Popen(argv, env=environment, stderr=journal)
    try:
        assert eventually(lambda: site.page.got)
        assert eventually(lambda: "untold" in site.metrics())
    finally:
        process.kill()
        process.wait()
    (path, headers, body), *others = site.page.got
    told = json.loads(body)
    assert (path, others) == ("/hooks/5f0c3e", [])
    assert genuine(headers, body) and not genuine(headers, body + b" ")
    assert (told["event"], told["service"]["name"], told["service"]["alerts"]) == (
        "down",
        "api",
        ["ServiceDown"],
    )
    assert 'slipway_availability_state{service="api"} 2\n' in site.metrics()
    assert 'slipway_availability_untold{receiver="127.0.0.1"} 0\n' in site.metrics()
    said = (site.root / "journal").read_text()
    assert said == "127.0.0.1: told that api is down\n", "and neither its URL nor its key"


def test_what_a_page_that_is_away_has_missed_it_is_told_when_it_is_back(site: Site) -> None:
    work, now = Work(site.root / "current", site.root / "state"), time.time()
    site.page.status = 503
    site.api_is(down=True)
    work.turn(now)
    work.turn(now + 5)
    assert len(site.page.got) == 1, "it is not asked again at once"
    assert 'slipway_availability_untold{receiver="127.0.0.1"} 1\n' in site.metrics()
    # Another start of the program, as after a reboot.
    site.page.status = 200
    again = Work(site.root / "current", site.root / "state")
    again.turn(now + 60)
    again.turn(now + 75)
    assert [event for event, _ in site.heard()] == ["down", "down"]
    assert len({identity for _, identity in site.heard()}) == 1, "a receiver can tell that it is the same"
    site.api_is(down=False)
    again.turn(now + 90)
    again.turn(now + 90 + SETTLED - 1)
    assert len(site.heard()) == 2
    again.turn(now + 90 + SETTLED)
    assert [event for event, _ in site.heard()] == ["down", "down", "up"]


@pytest.mark.parametrize("answers", [False, True], ids=["it-does-not-answer", "it-has-no-rules"])
def test_a_prometheus_that_knows_nothing_does_not_say_that_all_is_well(
    site: Site, tmp_path: Path, answers: bool
) -> None:
    work, now = Work(site.root / "current", site.root / "state"), time.time()
    site.api_is(down=True)
    work.turn(now)
    (other := tmp_path / "other").mkdir()
    with ExitStack() as open_:
        empty = open_.enter_context(prometheus(other, {})) if answers else "http://127.0.0.1:1"
        site.prometheus = empty
        site.list()
        work.turn(now + 15)
        work.turn(now + 15 + SETTLED + 1)
    assert [event for event, _ in site.heard()] == ["down"]
    assert "slipway_availability_asked 0\n" in site.metrics()


def test_a_chat_gets_a_line(site: Site) -> None:
    site.list(format="slack", on=["down"], signing_secret=None)
    site.api_is(down=True)
    Work(site.root / "current", site.root / "state").turn(time.time())
    (_, headers, body), *_ = site.page.got
    text = json.loads(body)["text"]
    assert text.startswith("✘ shop production: api is down since ") and text.endswith(": ServiceDown")
    assert "webhook-signature" not in headers


# What tests/unit/whole_stack.py calls the password, as bcrypt has it.
RECEIVER = """
tls_server_config: {cert_file: /config/sink.test.crt, key_file: /config/sink.test.key}
basic_auth_users: {shop: $2b$04$vk8nZaFCX.SXl7Un3b7W/uhxIUPNM9nIj/hC9tT6kPd7fzvlDk9Gu}
"""


def test_a_second_prometheus_gets_the_metrics_that_it_is_to_get(tmp_path: Path, tls: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    (mine / "secrets").mkdir(parents=True)
    theirs.mkdir()
    for name in ("sink.test.crt", "sink.test.key"):
        shutil.copy(tls / name, theirs)
        (theirs / name).chmod(0o644)
    (theirs / "web.yml").write_text(RECEIVER)
    shutil.copy(tls / "ca.crt", mine / "secrets/store_ca")
    (mine / "secrets/store_password").write_text(SECRETS["store_password"])
    with ExitStack() as open_:
        arguments = ("--web.enable-remote-write-receiver", "--web.config.file=/config/web.yml")
        store = open_.enter_context(prometheus(theirs, {}, *arguments, scheme="https", login=LOGIN))
        exporter = Exporter()
        exporter.text = "slipway_tried 7\nother_tried 8\n"
        open_.enter_context(serving(exporter))
        # As a release has it, but for the address of the store and what is kept.
        tree = yaml.safe_load(rendered(with_stores(stack()), "h3.test")["config/prometheus/prometheus.yml"])
        (written,) = [it for it in tree["remote_write"] if it["name"] == "mimir"]
        written["url"] = f"{store}/api/v1/write"
        (kept,) = [it for it in tree["remote_write"] if it["name"] == "lake"]
        written["write_relabel_configs"] = kept["write_relabel_configs"]
        targets = [{"targets": [f"127.0.0.1:{exporter.server_address[1]}"]}]
        settings = {
            "global": {**tree["global"], "scrape_interval": "1s", "scrape_timeout": "1s"},
            "remote_write": [written],
            "scrape_configs": [{"job_name": "tried", "static_configs": targets}],
        }
        own = open_.enter_context(prometheus(mine, settings))
        (got,) = eventually(lambda: ask(store, "slipway_tried", LOGIN))
        assert got["value"][1] == "7"
        assert (got["metric"]["stack"], got["metric"]["monitoring_host"]) == ("wayfare", "h3.test")
        assert eventually(lambda: ask(own, "other_tried")) and not ask(store, "other_tried", LOGIN)
        # A wrong password is refused, and shows in what the alerts are about.
        (mine / "secrets/store_password").write_text("wrong")
        failed = 'prometheus_remote_storage_samples_failed_total{remote_name="mimir"}'
        assert eventually(lambda: samples(own, failed) > 0)
        assert samples(own, "prometheus_remote_storage_highest_timestamp_in_seconds") > 0
        assert samples(own, "prometheus_remote_storage_queue_highest_sent_timestamp_seconds{") > 0


def test_a_push_monitor_is_told_while_the_site_answers_and_not_otherwise(tmp_path: Path, tls: Path) -> None:
    page = Sink(tls)
    hooks = {name: AlertWebhook(None, f"{name}_url", None, "store_ca") for name in ("push", "alive")}
    base = with_alerts(
        stack(),
        receivers={name: Receiver(webhook=hook) for name, hook in hooks.items()},
        critical=("alive",),
        warning=(),
        routes=(),
        escalation=(),
        watchdog=Watchdog(("alive",), 2),
        uptime=Watchdog(("push",), 2),
    )
    secrets = {f"{name}_url": f"{page.url}/{name}/5f0c" for name in hooks}
    tree = rendered(base, "h3.test", **secrets, store_ca=(tls / "ca.crt").read_text())
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs / "secrets"):
        folder.mkdir(parents=True)
    for path, text in tree.items():
        if path.startswith("config/alertmanager/"):
            (theirs / path.removeprefix("config/alertmanager/")).write_text(text)
    theirs.chmod(0o755)
    for name in ("edge", "monitoring"):
        (mine / f"{name}.yml").write_text(tree[f"config/prometheus/rules/{name}.yml"])
    answering = "".join(
        f'probe_success{{component="route",service="{name}"}} 1\n'
        for name in ("api", "journeys", "updates", "web")
    )

    def count(path: str) -> int:
        return sum(one[0] == f"/{path}/5f0c" for one in list(page.got))

    def another(path: str, times: int) -> bool:
        before = count(path)
        return bool(eventually(lambda: count(path) >= before + times))

    with ExitStack() as open_:
        open_.enter_context(serving(page))
        exporter = Exporter()
        exporter.text = answering
        open_.enter_context(serving(exporter))
        manager = open_.enter_context(alertmanager(theirs)).removeprefix("http://")
        targets = [{"targets": [f"127.0.0.1:{exporter.server_address[1]}"]}]
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["/config/edge.yml", "/config/monitoring.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
            "scrape_configs": [{"job_name": "tried", "honor_labels": True, "static_configs": targets}],
        }
        own = open_.enter_context(prometheus(mine, settings))
        assert another("push", 3)
        # One service of four does not answer.
        exporter.text = answering.replace('"api"} 1', '"api"} 0')
        gone = f"http://{manager}/api/v2/alerts?filter=alertname%3DSiteAnswers"
        assert eventually(lambda: not ask(own, "ALERTS%7Balertname=%22SiteAnswers%22%7D"))
        assert eventually(lambda: json.loads(get(gone)) == [])
        # The monitoring is alive and says so all the while: its signs tell how much time has passed.
        assert another("alive", 2)
        silent = count("push")
        assert another("alive", 3) and count("push") == silent
        exporter.text = answering
        assert another("push", 2)
