"""Tell others of a release: webhooks and e-mail, from the control node.

Whatever goes wrong is said in the result; nothing here raises, and nothing takes longer than two deadlines.
"""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from urllib.error import HTTPError

from .. import webhooks
from ..history.record import Record
from ..history.record_text import one_line, page
from ..stack.model_hooks import Email, Hook
from ..webhooks import DEADLINE, GRACE, within

TRIES = 2
# An unchanged run went well; an interrupted one did not.
_EVENTS = {"running": "started", "unchanged": "succeeded", "interrupted": "failed"}
_SIGNS = {"started": "▶", "succeeded": "✔", "failed": "✘", "rolled_back": "↩"}


@dataclass(frozen=True)
class Delivery:
    """What came of one hook. `target` never holds a secret URL or a password."""

    target: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.target}: not told: {self.problem}" if self.problem else f"{self.target}: told"


def event(record: Record) -> str:
    """The event of a record's outcome, as hooks name it."""
    return _EVENTS.get(record.outcome, record.outcome)


def notify(
    hooks: Sequence[Hook],
    record: Record,
    secrets: Mapping[str, str],
    deadline: float = DEADLINE,
    context: ssl.SSLContext | None = None,
) -> list[Delivery]:
    """Tell every hook that listens to the record's event, side by side.

    deadline: seconds of one try; a hook gets two. context: whom to trust; the control node's CAs by default.
    """
    chosen = [hook for hook in hooks if event(record) in hook.on]
    trusted = context or ssl.create_default_context()

    def deliver(hook: Hook) -> Delivery:
        try:
            send, target = _sender(hook, record, secrets, deadline, trusted)
        except KeyError as missing:
            return Delivery("hook", f"the secrets file has no {missing.args[0]}")
        return Delivery(target, _tried(send, deadline))

    with ThreadPoolExecutor(max(len(chosen), 1)) as pool:
        return list(pool.map(deliver, chosen))


def _sender(
    hook: Hook, record: Record, secrets: Mapping[str, str], deadline: float, context: ssl.SSLContext
) -> tuple[Callable[[], None], str]:
    if hook.email:
        mail, password = hook.email, secrets[hook.email.password_secret] if hook.email.password_secret else ""
        message = _mail(mail, record)
        return lambda: _send(mail, message, password, deadline, context), f"e-mail to {', '.join(mail.to)}"
    url = hook.webhook or secrets[str(hook.webhook_secret)]
    key = secrets[hook.signing_secret] if hook.signing_secret else ""
    body = json.dumps(payload(hook.format, record)).encode()
    posted = webhooks.Message(body, f"{record.id}-{event(record)}", key)
    return lambda: webhooks.post(url, posted, context, deadline), f"webhook {webhooks.host(url)}"


def _tried(send: Callable[[], None], deadline: float) -> str:
    """Why it could not be sent; "" when it was."""
    problem = ""
    for _ in range(TRIES):
        failure = within(send, deadline)
        if failure is None:
            return ""
        problem = _reason(failure, deadline)
        if _final(failure):
            break
    return problem


def _final(failure: Exception) -> bool:
    """Whether the other side has decided, so that asking again changes nothing."""
    if isinstance(failure, HTTPError):
        return failure.code < 500 and failure.code != 429
    if isinstance(failure, smtplib.SMTPResponseException):
        return failure.smtp_code >= 500
    decided = smtplib.SMTPRecipientsRefused | smtplib.SMTPNotSupportedError | ValueError | OverflowError
    return isinstance(failure, decided)


def _reason(failure: Exception, deadline: float) -> str:
    if isinstance(failure, smtplib.SMTPResponseException):
        error = failure.smtp_error
        told = error.decode(errors="replace") if isinstance(error, bytes) else error
        return f"it answers {failure.smtp_code} {' '.join(told.split())}"
    return webhooks.reason(failure, deadline)


def payload(form: str, record: Record) -> dict[str, object]:
    """What is posted, in a hook's format."""
    where = f"{record.stack} {record.environment}".strip()
    text = f"{_SIGNS[event(record)]} {where}: {one_line(record)}"
    if form == "slack":
        return {"text": webhooks.escaped(text)}
    return {"event": event(record), "text": text, "record": record.to_dict()}


def _mail(email: Email, record: Record) -> EmailMessage:
    message = EmailMessage()
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    where = f"{record.stack} {record.environment}".strip()
    message["Subject"] = f"[{where}] {one_line(record)}"[:200]
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{record.id}.{event(record)}@{email.sender.rpartition('@')[2]}>"
    message.set_content("\n".join([one_line(record), "", *page(record)]) + "\n")
    return message


def _send(
    email: Email, message: EmailMessage, password: str, deadline: float, context: ssl.SSLContext
) -> None:
    host, _, port = email.server.rpartition(":")
    own = socket.gethostname()  # smtplib would ask the name service, for as long as that takes
    if email.tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            host, int(port), own, timeout=deadline + GRACE, context=context
        )
    else:
        client = smtplib.SMTP(host, int(port), own, timeout=deadline + GRACE)
    with client:
        if email.tls == "starttls":
            client.starttls(context=context)
        if email.user:
            client.login(email.user, password)
        client.send_message(message)
