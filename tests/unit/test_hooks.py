"""Others are told of a release over real sockets; whoever does not listen delays and fails nothing."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import ssl
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.history.record import OUTCOMES, Record
from ansible_collections.slipway.compose.plugins.module_utils._core.release.hooks import (
    event,
    notify,
    payload,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.schema_hooks import EVENTS
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_hooks import Email, Hook
from ansible_collections.slipway.compose.plugins.module_utils._core.webhooks import signature
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from listeners import MailServer, Receiver, serving

FAILED = Record(
    "20261122T141502-3f2a9c",
    "2026-11-22T14:15:02Z",
    "ann",
    "laptop",
    outcome="failed",
    stack="shop",
    environment="production",
    release="77aa",
    ended="2026-11-22T14:15:44Z",
    reason="5 % < 12 %\n& more",
)
SECRET_PATH = "/T000/very-secret-token"
# For whoever answers, and for who does not.
DEADLINE, SHORT = 30.0, 1.0


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def webhook(port: int, path: str = "/hook", form: str = "json", **changes: Any) -> Hook:
    return replace(Hook(EVENTS, f"http://127.0.0.1:{port}{path}", None, form, None), **changes)


def mail(port: int, **changes: Any) -> Hook:
    sent = Email(
        ("ops@example.com", "dev@example.com"), "slipway@example.com", f"127.0.0.1:{port}", "none", None, None
    )
    return Hook(EVENTS, None, None, "json", replace(sent, **changes))


def tell(*hooks: Hook, record: Record = FAILED, **options: Any) -> list[str]:
    secrets, deadline = options.pop("secrets", {}), options.pop("deadline", DEADLINE)
    return [str(it) for it in notify(hooks, record, {"url": "", **secrets}, deadline, **options)]


class TestWebhook:
    def test_gets_the_event_and_the_whole_record(self) -> None:
        with serving(server := Receiver(204)) as port:
            assert tell(webhook(port)) == ["webhook 127.0.0.1: told"]
        path, body, headers = server.got[0]
        assert path == "/hook" and body["event"] == "failed"
        assert Record.from_dict(body["record"]) == FAILED
        assert headers["Content-Type"].startswith("application/json")

    def test_slack_gets_a_line_in_which_nothing_is_markup(self) -> None:
        with serving(server := Receiver(200)) as port:
            tell(webhook(port, form="slack"))
        text = "✘ shop production: deploy of 77aa by ann@laptop failed after 42 s: 5 % &lt; 12 % &amp; more"
        assert server.got[0][1] == {"text": text}

    def test_only_those_who_listen_to_the_event_are_told(self) -> None:
        with serving(server := Receiver(200)) as port:
            assert tell(webhook(port, on=("started", "succeeded"))) == []
            assert len(tell(webhook(port, on=("failed",)), webhook(port, on=("rolled_back",)))) == 1
        assert len(server.got) == 1

    def test_a_url_that_is_a_secret_is_looked_up_and_never_told(self) -> None:
        with serving(server := Receiver(500)) as port:
            hook = webhook(port, webhook=None, webhook_secret="chat")
            told = tell(hook, secrets={"chat": f"http://127.0.0.1:{port}{SECRET_PATH}"})
        assert server.got[0][0] == SECRET_PATH
        assert told == ["webhook 127.0.0.1: not told: it answers 500 Internal Server Error"]

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:1/secret", "secret", "http://[secret", "http://h:99999/secret"]
    )
    def test_no_fault_of_a_secret_url_tells_it(self, url: str) -> None:
        told = tell(Hook(EVENTS, None, "chat", "json", None), secrets={"chat": url})
        assert "not told" in told[0] and "secret" not in told[0]

    def test_a_secret_that_is_missing_is_told_by_name(self) -> None:
        told = tell(Hook(EVENTS, None, "chat", "json", None))
        assert told == ["hook: not told: the secrets file has no chat"]

    def test_a_passing_failure_is_tried_again_with_the_same_key(self) -> None:
        with serving(server := Receiver(503, 200)) as port:
            assert tell(webhook(port)) == ["webhook 127.0.0.1: told"]
        assert [headers["Idempotency-Key"] for _, _, headers in server.got] == [f"{FAILED.id}-failed"] * 2

    def test_what_is_posted_is_signed_where_the_stack_names_a_secret(self) -> None:
        with serving(server := Receiver(503, 200)) as port:
            tell(webhook(port, signing_secret="key"), secrets={"key": "k" * 32})
            tell(webhook(port))
        first, second, plain = server.got
        for _, body, given in (first, second):
            headers = {name.lower(): value for name, value in given.items()}
            at, told = int(headers["webhook-timestamp"]), json.dumps(body).encode()
            assert headers["webhook-id"] == f"{FAILED.id}-failed"
            assert headers["webhook-signature"] == signature("k" * 32, headers["webhook-id"], at, told)
        assert "webhook-signature" not in {name.lower() for name in plain[2]}

    def test_a_signature_is_what_the_libraries_of_receivers_expect(self) -> None:
        # Made by the package `standardwebhooks` of PyPI.
        body, identity = b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek"
        made = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", identity, 1614265330, body)
        assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_a_signing_secret_that_is_none_is_said_without_it(self) -> None:
        told = tell(webhook(1, signing_secret="key"), secrets={"key": "whsec_no base64"})
        assert "not told: its address or its answer" in told[0] and "no base64" not in told[0]

    @pytest.mark.parametrize(("status", "tries"), [(500, 2), (429, 2), (404, 1), (401, 1), (302, 1)])
    def test_a_final_answer_is_not_asked_for_again(self, status: int, tries: int) -> None:
        with serving(server := Receiver(status)) as port:
            told = tell(webhook(port))
        assert f"it answers {status}" in told[0] and len(server.got) == tries

    def test_nobody_listening_is_said(self) -> None:
        assert tell(webhook(1)) == ["webhook 127.0.0.1: not told: [Errno 111] Connection refused"]

    def test_no_hook_waits_for_another_ones_answer(self) -> None:
        together = threading.Barrier(4, timeout=DEADLINE)
        with ExitStack() as stack:
            ports = [stack.enter_context(serving(Receiver(200, before=together.wait))) for _ in range(4)]
            assert tell(*map(webhook, ports)) == ["webhook 127.0.0.1: told"] * 4

    def test_servers_that_hang_are_given_up(self) -> None:
        over = threading.Event()
        with ExitStack() as stack:
            stack.callback(over.set)
            ports = [stack.enter_context(serving(Receiver(200, before=over.wait))) for _ in range(3)]
            told = tell(*map(webhook, ports), deadline=SHORT)
        assert told == ["webhook 127.0.0.1: not told: no answer within 1 s"] * 3

    def test_a_server_that_dribbles_is_held_to_the_deadline_too(self) -> None:
        over = threading.Event()

        class Dribble(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n")
                    for _ in range(300):
                        self.request.sendall(b"x")
                        if over.wait(0.1):
                            return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, block_on_close = True, False

        with serving(Server(("127.0.0.1", 0), Dribble)) as port:
            told = tell(webhook(port), deadline=SHORT)
            over.set()
        assert "no answer within 1 s" in told[0]


class TestEmail:
    def test_has_the_outcome_in_its_subject_and_the_record_in_its_text(self) -> None:
        with serving(server := MailServer()) as port:
            assert tell(mail(port)) == ["e-mail to ops@example.com, dev@example.com: told"]
        message = email.message_from_bytes(server.mails[0], policy=email.policy.default)
        subject = "[shop production] deploy of 77aa by ann@laptop failed after 42 s: 5 % < 12 % & more"
        assert message["Subject"] == subject
        assert message["To"] == "ops@example.com, dev@example.com"
        assert "outcome           failed" in message.get_content()
        assert [line for line in server.commands if line.startswith("RCPT")] == [
            "RCPT TO:<ops@example.com>",
            "RCPT TO:<dev@example.com>",
        ]

    def test_logs_in_after_the_connection_is_encrypted(
        self, tls: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        with serving(server := MailServer(tls[0])) as port:
            hook = mail(port, tls="starttls", user="ann", password_secret="smtp")
            assert "told" in tell(hook, secrets={"smtp": "a-long-password"}, context=tls[1])[0]
        verbs = [line.split()[0] for line in server.commands]
        assert verbs.index("STARTTLS") < verbs.index("AUTH") < verbs.index("MAIL")
        assert len(server.mails) == 1

    def test_a_server_without_tls_gets_neither_password_nor_mail(self) -> None:
        with serving(server := MailServer()) as port:
            told = tell(mail(port, tls="starttls", user="ann", password_secret="smtp"), secrets={"smtp": "p"})
        assert "not told" in told[0] and "STARTTLS" in told[0]
        assert server.mails == [] and not any("AUTH" in line for line in server.commands)

    def test_a_certificate_of_a_stranger_is_refused(self, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        with serving(server := MailServer(tls[0])) as port:
            told = tell(mail(port, tls="starttls"))
        assert "certificate verify failed" in told[0] and server.mails == []

    @pytest.mark.parametrize(("refusal", "tries"), [("550 no such sender", 1), ("451 come back", 2)])
    def test_a_refusal_is_said_and_a_passing_one_tried_again(self, refusal: str, tries: int) -> None:
        with serving(server := MailServer(refusal=refusal)) as port:
            told = tell(mail(port))
        assert told[0].endswith(f"not told: it answers {refusal}")
        assert sum(line.startswith("MAIL") for line in server.commands) == tries

    def test_a_server_that_says_nothing_is_given_up(self) -> None:
        over = threading.Event()

        class Silent(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                over.wait(60)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, block_on_close = True, False

        with serving(Server(("127.0.0.1", 0), Silent)) as port:
            told = tell(mail(port), deadline=SHORT)
            over.set()
        assert told[0].endswith("not told: no answer within 1 s")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    return certificates(tmp_path_factory.mktemp("tls"))


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    now = datetime.now(UTC)
    authority = pki.new_ca("shop", now)
    pair = pki.issue(authority, ["localhost", "127.0.0.1"], now)
    (folder / "ca.crt").write_text(authority.certificate)
    (folder / "tls.crt").write_text(pair.certificate)
    (folder / "tls.key").write_text(pair.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return server, ssl.create_default_context(cafile=str(folder / "ca.crt"))


def test_every_outcome_is_an_event() -> None:
    assert {event(replace(FAILED, outcome=outcome)) for outcome in OUTCOMES} == set(EVENTS)
    for outcome in OUTCOMES:
        assert "text" in payload("slack", replace(FAILED, outcome=outcome))
