"""A fault is told within two minutes, and so is its end: by SMTP over STARTTLS and by HTTP, to this machine.

Deploys the lab's stack with receivers, stops a node-exporter, waits, starts it again, and deploys the
usual stack. Run by hand: `pytest molecule/releases/test_alerts.py`.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fleet_under_test import Fleet
from test_hooks import MailServer, Receiver, serving
from waiting import eventually

from lab import Lab

PROMISED = 120.0
PASSWORD = "a-password-of-the-test"


class Sinks:
    """A mail server and a web server that keep what they get; at `address`, the lab sees this machine."""

    def __init__(self, address: str, mail: MailServer, web: Receiver) -> None:
        self.address = address
        self.mail = mail
        self.web = web

    def told(self, name: str, status: str) -> tuple[bool, bool]:
        """Whether an alert of a name was told, or its end: by mail, by HTTP."""
        subject = f"{'resolved' if status == 'resolved' else 'critical'}: {name}".encode()
        alerts = [alert for _, body, _ in self.web.got for alert in body["alerts"]]
        by_http = any(it["labels"]["alertname"] == name and it["status"] == status for it in alerts)
        return any(subject in mail for mail in self.mail.mails), by_http

    @property
    def signs(self) -> int:
        return sum(body["groupLabels"].get("alertname") == "Watchdog" for _, body, _ in self.web.got)


def authority(folder: Path, address: str) -> Path:
    """A certificate for this machine's address that is its own CA, with its key in `key.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    return folder / "ca.pem"


@pytest.fixture
def sinks(lab: Lab, tmp_path: Path) -> Iterator[Sinks]:
    host = lab.hosts[lab.host_of("alertmanager")]
    address = host.check_output("ip -4 route show default").split()[2]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority(tmp_path, address), tmp_path / "key.pem")
    mail, web = MailServer(context, address="0.0.0.0"), Receiver(200, address="0.0.0.0")
    with ExitStack() as open_:
        open_.enter_context(serving(mail))
        open_.enter_context(serving(web))
        yield Sinks(address, mail, web)


def supply(lab: Lab, folder: Path, **values: str) -> None:
    """Put secrets of the user's into the lab's vault."""
    vault, plain = lab.folder / "secrets.vault.yml", folder / "plain.yml"
    lab.run(["ansible-vault", "decrypt", "--output", str(plain), str(vault)], timeout=60)
    document = yaml.safe_load(plain.read_text())
    document["user"] = {**(document.get("user") or {}), **values}
    plain.write_text(yaml.safe_dump(document))
    lab.run(["ansible-vault", "encrypt", "--output", str(vault), str(plain)], timeout=60)
    plain.unlink()


def told_to(stack: dict[str, Any], sinks: Sinks) -> dict[str, Any]:
    mail = {
        "to": ["ops@wayfare.test"],
        "from": "alerts@wayfare.test",
        "server": f"{sinks.address}:{sinks.mail.server_address[1]}",
        "user": "alerts",
        "password_secret": "mail_password",
        "ca_secret": "mail_ca",
    }
    url = f"http://{sinks.address}:{sinks.web.server_address[1]}/alerts"
    stack["secrets"] |= {"mail_password": {}, "mail_ca": {}}
    stack["components"]["monitoring"]["alerts"] = {
        "receivers": {"mail": {"email": mail}, "web": {"webhook": {"url": url}}},
        "critical": ["mail", "web"],
        "warning": ["web"],
        "watchdog": {"receivers": ["web"], "every": "30s"},
        "interval": "20s",
    }
    return stack


@pytest.mark.by_hand
def test_a_fault_and_its_end_are_told_within_two_minutes(
    fleet: Fleet, lab: Lab, sinks: Sinks, tmp_path: Path
) -> None:
    supply(lab, tmp_path, mail_password=PASSWORD, mail_ca=(tmp_path / "ca.pem").read_text())
    run = fleet.deploy(told_to(fleet.site.stack, sinks))
    assert run.status == 0, run.problem
    exporter = f"{lab.stack['name']}-node-exporter-1"
    # Not the host that watches: it is lost together with who would tell.
    host = next(iter(lab.hosts.values()))
    try:
        assert eventually(lambda: sinks.signs, lambda count: count > 0, PROMISED) > 0
        host.check_output("docker stop %s", exporter)
        begun = time.monotonic()
        assert eventually(lambda: sinks.told("HostDown", "firing"), all, PROMISED) == (True, True)
        print(f"told after {time.monotonic() - begun:.0f} s")
        host.check_output("docker start %s", exporter)
        ended = time.monotonic()
        assert eventually(lambda: sinks.told("HostDown", "resolved"), all, PROMISED) == (True, True)
        print(f"its end told after {time.monotonic() - ended:.0f} s")
    finally:
        host.run("docker start %s", exporter)
        back = fleet.deploy()
    assert back.status == 0, back.problem
    assert "AUTH" in {command[:4] for command in sinks.mail.commands}
