"""Real receivers of alerts on this machine, and third parties that fail when they are told to."""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from listeners import MailServer, serving

from lab import Lab

PASSWORD = "a-password-of-the-test"
# How often a sign of life comes, and how late it is when whoever expects it calls.
SIGN_SECONDS = 30
PAYS, MAPS = "drill-pays", "drill-maps"


@dataclass(frozen=True)
class Told:
    """One alert of one message: when the message came, and what it says."""

    at: float
    alert: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.alert["labels"]["alertname"])

    @property
    def status(self) -> str:
        return str(self.alert["status"])

    @property
    def fires_since(self) -> float:
        # Go writes nanoseconds, of which Python reads six digits.
        return datetime.fromisoformat(str(self.alert["startsAt"]).replace("Z", "+00:00")).timestamp()

    def bears(self, labels: Mapping[str, str]) -> bool:
        return labels.items() <= self.alert["labels"].items()


class Web(ThreadingHTTPServer):
    """Takes Alertmanager's messages by POST, and answers GET as a third party of the path's name does."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), _Answers)
        self.told: list[Told] = []
        self.status = {PAYS: 200, MAPS: 200}


class _Answers(BaseHTTPRequestHandler):
    server: Web

    def do_POST(self) -> None:
        at = time.time()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told += [Told(at, alert) for alert in body["alerts"]]
        self._answer(200)

    def do_GET(self) -> None:
        self._answer(self.server.status[self.path.strip("/")])

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@dataclass
class Sinks:
    """At `address` the lab sees this machine. authority: PEM file that the mail server's clients trust."""

    address: str
    authority: Path
    mail: MailServer
    web: Web = field(default_factory=Web)

    def become(self, what: str) -> None:
        """`mail 451 …`: refuse every mail so; `mail`: take them again; `<third party> <status>`."""
        who, _, how = what.partition(" ")
        if who == "mail":
            self.mail.refusal = how
        else:
            self.web.status[who] = int(how)

    def first(
        self, name: str, status: str, labels: Mapping[str, str], begun: float, since: float
    ) -> Told | None:
        """The first message since a moment of an alert, or of its end; not of one that fired before it."""
        for it in list(self.web.told):
            news = it.at >= since and it.fires_since >= begun
            if news and it.name == name and it.status == status and it.bears(labels):
                return it
        return None

    @property
    def last_sign(self) -> float:
        """When the monitoring last said that it is alive; 0 if never."""
        return max((it.at for it in list(self.web.told) if it.name == "Watchdog"), default=0.0)

    def mailed(self, name: str, status: str = "firing") -> bool:
        """Whether a critical alert, or its end, came by mail as well."""
        subject = f"{'resolved' if status == 'resolved' else 'critical'}: {name}".encode()
        return any(subject in mail for mail in list(self.mail.mails))

    @property
    def mail_server(self) -> str:
        return f"{self.address}:{self.mail.server_address[1]}"

    def url(self, path: str) -> str:
        return f"http://{self.address}:{self.web.server_address[1]}/{path}"


@contextmanager
def sinks_for(address: str, folder: Path) -> Iterator[Sinks]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pem = authority(folder, address)
    context.load_cert_chain(pem, folder / "key.pem")
    sinks = Sinks(address, pem, MailServer(context, address="0.0.0.0"))
    with ExitStack() as open_:
        open_.enter_context(serving(sinks.mail))
        open_.enter_context(serving(sinks.web))
        yield sinks


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
    """The stack, whose alerts go to this machine by mail and by HTTP; signs of life by HTTP alone."""
    mail = {
        "to": ["ops@wayfare.test"],
        "from": "alerts@wayfare.test",
        "server": sinks.mail_server,
        "user": "alerts",
        "password_secret": "mail_password",
        "ca_secret": "mail_ca",
    }
    stack["secrets"] |= {"mail_password": {}, "mail_ca": {}}
    stack["components"]["monitoring"]["alerts"] = {
        "receivers": {"mail": {"email": mail}, "web": {"webhook": {"url": sinks.url("alerts")}}},
        "critical": ["mail", "web"],
        "warning": ["web"],
        "watchdog": {"receivers": ["web"], "every": f"{SIGN_SECONDS}s"},
        "interval": "20s",
    }
    return stack
