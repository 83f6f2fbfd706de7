"""A team, a pager and a bus that alerts go to: real servers over TLS, and an Alertmanager that knows them."""

from __future__ import annotations

import email
import email.policy
import json
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import (
    AlertEmail,
    AlertWebhook,
    PagerDuty,
    Receiver,
    Slack,
)
from certificates import issue
from listeners import MailServer
from listeners import serving as serving_mail
from real_monitoring import alertmanager, get
from sinks import Sink, eventually, serving
from whole_stack import rendered, stack, with_alerts

RUNBOOKS = "https://git.test/slipway/blob/main"
KEY = "R0UT1NGKEY"
TOKEN = "a-token-of-the-bus"


@dataclass
class Ways:
    """What has arrived, by way; and the Alertmanager that sends it."""

    mail: MailServer
    slack: Sink
    pager: Sink
    bus: Sink
    tree: Mapping[str, str]
    url: str = ""

    def mails(self) -> list[EmailMessage]:
        policy = email.policy.default
        return [email.message_from_bytes(one, policy=policy) for one in list(self.mail.mails)]

    def slacks(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in list(self.slack.got)]

    def pages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in list(self.pager.got)]

    def posts(self, name: str) -> list[dict[str, Any]]:
        """What the bus was told of an alert."""
        found = [json.loads(body) for _, _, body in list(self.bus.got)]
        return [one for one in found if one["groupLabels"]["alertname"] == name]

    def subjects(self) -> list[str]:
        return [str(one["Subject"]) for one in self.mails()]

    def send(self, *alerts: dict[str, Any]) -> None:
        """As Prometheus does."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps(alerts).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def known(self, **labels: str) -> list[dict[str, Any]]:
        """Alerts as Alertmanager has them, told or not."""
        found: list[dict[str, Any]] = json.loads(get(f"{self.url}/api/v2/alerts"))
        return [one for one in found if labels.items() <= one["labels"].items()]

    def pass_one_by(self) -> None:
        """An alert that comes, is told, ends, and is told to have ended: time for all that came before it."""
        begun = len(self.posts("Passer"))
        passer = alert("Passer", "critical", "a passer", host="elsewhere.test", number=str(begun))
        self.send(passer)
        assert eventually(lambda: len(self.posts("Passer")) == begun + 1)
        self.send(ended(passer))
        assert eventually(lambda: len(self.posts("Passer")) == begun + 2)


def alert(name: str, severity: str, summary: str, **labels: str) -> dict[str, Any]:
    """As Prometheus would send it of a rule of ours."""
    return {
        "labels": {"alertname": name, "severity": severity, "stack": "wayfare", **labels},
        "annotations": {
            "summary": summary,
            "runbook_url": f"{RUNBOOKS}/docs/runbooks/host.md#disk",
            "dashboard": "https://ops.wayfare.test/#/hosts",
        },
        # As Prometheus says it: since when the rule fires. What is older than `wait` waits for no others.
        "startsAt": datetime.now(UTC).isoformat(),
    }


def ended(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "endsAt": datetime.now(UTC).isoformat()}


def receivers(ways: Ways) -> dict[str, Receiver]:
    mail = AlertEmail(
        ("ops@wayfare.test", "boss@wayfare.test"),
        "alerts@wayfare.test",
        f"127.0.0.1:{ways.mail.server_address[1]}",
        "starttls",
        "alerts",
        "mail_password",
        "store_ca",
    )
    events = f"{ways.pager.url}/v2/enqueue"
    return {
        "team": Receiver(email=mail, slack=Slack("alert_url", "#ops", "store_ca")),
        "pager": Receiver(pagerduty=PagerDuty("pager_key", events, "store_ca")),
        "bus": Receiver(webhook=AlertWebhook(f"{ways.bus.url}/in", None, "alert_token", "store_ca")),
    }


def certified(root: Path) -> Path:
    """Certificates by a CA that Alertmanager is told of by `ca_secret`."""
    (folder := root / "tls").mkdir(parents=True)
    issue(folder, "sink.test", 90, issue(folder, "ca", 90))
    return folder


@contextmanager
def served(
    folder: Path, tls: Path, critical: Sequence[str], warning: Sequence[str], **changes: Any
) -> Iterator[Ways]:
    """Receivers with certificates of `tls`, and a real Alertmanager with the settings of a stack."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls / "sink.test.crt", tls / "sink.test.key")
    ways = Ways(MailServer(context), Sink(tls), Sink(tls), Sink(tls), {})
    # As the real ones answer.
    ways.slack.body, ways.pager.status = b"ok", 202
    settings = {"wait": 1, "interval": 1, "routes": (), "uptime": None, "watchdog": None}
    settings |= {"critical": tuple(critical), "warning": tuple(warning), "runbooks": RUNBOOKS}
    base = with_alerts(stack(), receivers=receivers(ways), **settings, **changes)
    trusted = (tls / "ca.crt").read_text()
    secrets = {"alert_url": f"{ways.slack.url}/services/T0/B0/x", "pager_key": KEY, "alert_token": TOKEN}
    ways.tree = rendered(base, "h3.test", **secrets, store_ca=trusted)
    for path, text in ways.tree.items():
        if path.startswith("config/alertmanager/"):
            (target := folder / path.removeprefix("config/alertmanager/")).parent.mkdir(
                parents=True, exist_ok=True
            )
            target.write_text(text)
    folder.chmod(0o755)
    with ExitStack() as open_:
        open_.enter_context(serving_mail(ways.mail))
        for sink in (ways.slack, ways.pager, ways.bus):
            open_.enter_context(serving(sink))
        ways.url = open_.enter_context(alertmanager(folder))
        yield ways
