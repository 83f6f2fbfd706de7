"""Report faults of ours to Sentry, or what is compatible with it.

Whatever is logged as an error with a traceback is an event: in HTTP, gRPC and workers alike. Sent by a thread
of its own, from a queue that is bounded: no request waits for it, and what it cannot send is lost.
"""

from __future__ import annotations

import logging

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.utils import BadDsn

from .fault_event import stripped
from .log import REQUEST_ID
from .settings import SentrySettings, Settings

LAST_WORDS = 2.0

log = logging.getLogger("wayfare.reporting")


def report_faults(sentry: SentrySettings, settings: Settings) -> None:
    """From now on. A DSN that is none is said, and stops nothing."""
    identity = settings.identity
    tags = {name: getattr(identity, name) for name in ("service", "pool", "host", "version")}
    try:
        sentry_sdk.init(
            dsn=sentry.dsn,
            release=sentry.release,
            environment=sentry.environment,
            server_name=identity.replica,
            ca_certs=sentry.ca_file,
            default_integrations=False,
            integrations=[
                LoggingIntegration(level=None, event_level=logging.ERROR),
                ExcepthookIntegration(),
                # Quietly: it would talk of it on standard error.
                AtexitIntegration(callback=lambda _pending, _timeout: None),
            ],
            send_default_pii=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            shutdown_timeout=LAST_WORDS,
            before_send=lambda event, _hint: stripped(event, {**tags, "request_id": REQUEST_ID.get()}),
        )
    except BadDsn as problem:
        log.warning("faults are not reported", extra={"problem": str(problem)})
