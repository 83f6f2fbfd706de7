"""The part of the schema that says which services of others get errors and figures."""

from __future__ import annotations

from .forms import NAME, SECRET
from .kinds import Key, ListOf, Number, Table, Text
from .schema_hooks import URL, USER

_DSN = Text(
    r"https?://[A-Za-z0-9]+(?::[A-Za-z0-9]+)?@[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/[0-9]+",
    "a DSN",
    "https://3f2a9c@o1.ingest.sentry.io/42",
)
_SENTRY_ENVIRONMENT = Text(r"(?!None$)[^\s/]{1,64}", "a name without spaces and slashes", "production")
_METRICS = Text(r"[A-Za-z0-9_:.|()\[\]*+?^$\\-]{1,1024}", "a regular expression", "slipway_.*|up")
_CA = "Declared secret with the PEM of the CA that signed the server's certificate."
_PUBLIC = "the public CAs"

SENTRY = Table(
    "Sentry project",
    {
        "dsn": Key(_DSN, "Where events go, told to services as `SENTRY_DSN`; this or `dsn_secret`.", None),
        "dsn_secret": Key(
            SECRET,
            "Declared secret with the DSN, told to services as the file `SENTRY_DSN_FILE` names.",
            None,
        ),
        "ca_secret": Key(SECRET, f"{_CA} Told as the file `SENTRY_CA_FILE` names.", None, _PUBLIC),
        "environment": Key(_SENTRY_ENVIRONMENT, "`SENTRY_ENVIRONMENT`.", None, "the name of the environment"),
        "traces_sample_rate": Key(Number(0, 1), "`SENTRY_TRACES_SAMPLE_RATE`.", 0),
        "services": Key(ListOf(NAME, least=1, distinct=True), "Services that report.", None, "all"),
    },
)

REMOTE_WRITE = Table(
    "remote store of metrics",
    {
        "url": Key(URL, "Where its `remote_write` endpoint is."),
        "user": Key(USER, "User to log in as.", None, "no login"),
        "password_secret": Key(SECRET, "Declared secret with that user's password.", None),
        "token_secret": Key(SECRET, "Declared secret that is sent as a bearer token.", None),
        "ca_secret": Key(SECRET, _CA, None, _PUBLIC),
        "keep": Key(_METRICS, "Only metrics whose whole name fits.", None, "all metrics"),
    },
)
