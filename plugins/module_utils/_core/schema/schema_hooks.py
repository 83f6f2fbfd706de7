"""The part of the schema that says whom to tell of a release, and of how services fare."""

from __future__ import annotations

from .forms import SECRET
from .kinds import Choice, Key, ListOf, Table, Text

EVENTS = ("started", "succeeded", "failed", "rolled_back")
# Of a service with a route: what its users see.
STATES = ("down", "degraded", "up")
FORMATS = ("json", "slack")
TLS_MODES = ("starttls", "implicit", "none")

URL = Text(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[!-~]*)?", "a URL", "https://ci.example.com/releases")
SERVER = Text(r"[A-Za-z0-9.-]+:[0-9]{1,5}", "a server and its port", "smtp.example.com:587")
ADDRESS = Text(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}", "an e-mail address", "ops@example.com")
USER = Text(r"[!-~]{1,256}", "a user's name", "releases@example.com")

EMAIL = Table(
    "e-mail",
    {
        "to": Key(ListOf(ADDRESS, least=1, distinct=True), "Who gets it."),
        "from": Key(ADDRESS, "Whom it is from."),
        "server": Key(SERVER, "Mail server that takes it, with its port."),
        "tls": Key(
            Choice(TLS_MODES),
            "How the connection is encrypted: `starttls` after it was made (port 587), `implicit` from the "
            "start (port 465), `none` not at all. The certificate is checked against the control node's CAs.",
            "starttls",
        ),
        "user": Key(USER, "User to log in as.", None, "no login"),
        "password_secret": Key(SECRET, "Declared secret with that user's password.", None),
    },
)

HOOK = Table(
    "hook",
    {
        "on": Key(
            ListOf(Choice((*EVENTS, *STATES)), least=1, distinct=True),
            "Events that are told: of a release by the control node; that a service with a route is `down`, "
            "`degraded` or `up` again by the first monitoring host.",
        ),
        "webhook": Key(URL, "URL that an HTTP POST goes to; this, `webhook_secret` or `email`.", None),
        "webhook_secret": Key(SECRET, "Declared secret with that URL, where knowing it is enough.", None),
        "format": Key(
            Choice(FORMATS),
            "What is posted: `json`, the event with the whole release record, or `slack`, one line of text "
            "as Slack and those compatible with it take it.",
            "json",
        ),
        "signing_secret": Key(
            SECRET,
            "Declared secret that what is posted is signed with (HMAC-SHA256, as Standard Webhooks has it).",
            None,
            "not signed",
        ),
        "email": Key(EMAIL, "E-mail to send. Not for `down`, `degraded` and `up`: alerts send that.", None),
    },
)
