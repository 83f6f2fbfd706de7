"""Sentry and remote stores of metrics: which wishes cannot work, and what is told to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ..errors import Problem
from ..stack.model import Stack
from ..stack.model_integrations import RemoteWrite, Sentry
from ..wording import did_you_mean, listed
from .alert_faults import secret_faults

_SENTRY = "stack/sentry"
_REMOTE = "stack/components/monitoring/remote_write"
# What these are called among a service's secrets.
DSN_FILE, CA_FILE = "sentry_dsn", "sentry_ca"
_RELEASE_DIGITS = 12


def integration_faults(stack: Stack) -> Iterator[Problem]:
    if stack.sentry:
        yield from _sentry(stack.sentry, stack)
    for name, store in stack.components.monitoring.remote_write.items():
        yield from _remote(store, f"{_REMOTE}/{name}", stack)


def reports(stack: Stack, service: str) -> Sentry | None:
    """Where a service reports errors, if anywhere."""
    sentry = stack.sentry
    return sentry if sentry and (sentry.services is None or service in sentry.services) else None


def sentry_variables(stack: Stack, service: str, image: str, environment: str) -> dict[str, str]:
    """What a service is told of Sentry. image: its reference, pinned by digest.

    The release that Sentry sees is the image, not Slipway's: an id that changes with every deployment would
    start every service anew each time.
    """
    sentry = reports(stack, service)
    if sentry is None:
        return {}
    told = {
        "SENTRY_ENVIRONMENT": sentry.environment or environment or "production",
        "SENTRY_RELEASE": f"{stack.name}@{image.rpartition(':')[2][:_RELEASE_DIGITS]}",
        "SENTRY_TRACES_SAMPLE_RATE": f"{sentry.traces_sample_rate:g}",
    }
    if sentry.dsn:
        told["SENTRY_DSN"] = sentry.dsn
    else:
        told["SENTRY_DSN_FILE"] = f"/run/secrets/{DSN_FILE}"
    if sentry.ca_secret:
        told["SENTRY_CA_FILE"] = f"/run/secrets/{CA_FILE}"
    return told


def sentry_files(stack: Stack, service: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """What a service finds among its secrets."""
    sentry = reports(stack, service)
    wanted = {DSN_FILE: sentry.dsn_secret, CA_FILE: sentry.ca_secret} if sentry else {}
    return {name: secrets[secret] for name, secret in wanted.items() if secret}


def remote_secrets(stack: Stack) -> list[str]:
    """Secrets that Prometheus reads."""
    stores = stack.components.monitoring.remote_write.values()
    return sorted({name for store in stores for name in _secrets_of(store).values()})


def _sentry(sentry: Sentry, stack: Stack) -> Iterator[Problem]:
    if (sentry.dsn is None) == (sentry.dsn_secret is None):
        found = "has no DSN" if sentry.dsn is None else "has two DSNs"
        yield Problem(_SENTRY, found, "Write one of dsn and dsn_secret")
    if sentry.dsn and ":" in sentry.dsn.partition("://")[2].partition("@")[0]:
        remedy = "Leave the part from the colon to the @ out, which Sentry needs no more, or name dsn_secret"
        yield Problem(
            f"{_SENTRY}/dsn", "holds a secret key, and whoever may inspect a container reads it", remedy
        )
    named = {"dsn_secret": sentry.dsn_secret, "ca_secret": sentry.ca_secret}
    yield from secret_faults({key: name for key, name in named.items() if name}, _SENTRY, stack)
    for index, name in enumerate(sentry.services or ()):
        if name and name not in stack.services:
            remedy = f"{did_you_mean(name, stack.services)}Services: {listed(stack.services)}"
            yield Problem(f"{_SENTRY}/services/{index}", f"{name} is not a service", remedy)
    for service in stack.services.values():
        if not reports(stack, service.name):
            continue
        path = f"stack/services/{service.name}"
        for name in service.environment:
            if name.startswith("SENTRY_"):
                remedy = f"Remove it, or leave the service out of {_SENTRY}/services"
                yield Problem(f"{path}/environment/{name}", f"is set by {_SENTRY}", remedy)
        for index, name in enumerate(service.secrets):
            if name in (DSN_FILE, CA_FILE):
                remedy = f"Remove it here: what {_SENTRY} names is there by itself; or rename it"
                yield Problem(f"{path}/secrets/{index}", f"{name} is the name of a file by {_SENTRY}", remedy)


def _remote(store: RemoteWrite, path: str, stack: Stack) -> Iterator[Problem]:
    yield from secret_faults(_secrets_of(store), path, stack)
    if (store.user is None) != (store.password_secret is None):
        missing = "password_secret" if store.password_secret is None else "user"
        yield Problem(path, f"has no {missing}", "Write both, or neither for no login")
    if store.user and store.token_secret:
        yield Problem(path, "logs in in two ways", "Keep one of user and token_secret")
    # What the schema refused is blank here.
    if (store.password_secret or store.token_secret) and urlsplit(store.url).scheme == "http":
        yield Problem(f"{path}/url", "would show the secret to everybody on the way", "Write https")


def _secrets_of(store: RemoteWrite) -> dict[str, str]:
    return {key: name for key, name in vars(store).items() if key.endswith("_secret") and name}
