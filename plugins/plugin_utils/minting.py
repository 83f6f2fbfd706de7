"""Add to a secrets document what it lacks. Nothing is removed, and only certificates are ever replaced."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

from ..module_utils._core.monitoring.console import secret_names
from ..module_utils._core.stack.model import Host, Stack
from . import pki
from .other_site import shared
from .secrets import Document, ca, pairs, table

# Bytes of randomness in a secret of the platform's own.
_STRENGTH = 24


@dataclass(frozen=True)
class Minted:
    """The complete document, and the name of each thing that was added to it."""

    document: Document
    added: tuple[str, ...]


def complete(
    document: Document, stack: Stack, environment: str, now: datetime, others: Document | None = None
) -> Minted:
    """The document with every secret and certificate the stack needs.

    others: the other site's, where this one follows it.
    """
    document = copy.deepcopy(document)
    added = [
        *_followed(document, stack, others or {}),
        *_secrets(document, stack),
        *_certificates(document, stack, environment, now),
    ]
    return Minted(document, tuple(added))


def platform_secrets(stack: Stack) -> list[str]:
    """Names of the secrets that the platform's components and the services' databases need."""
    postgres = ["postgres_superuser", "postgres_replication", "postgres_monitor", "patroni_api"]
    backup = stack.components.backup
    ciphers = ["backup_cipher", *(["backup_second_cipher"] if backup and backup.second else [])]
    names = [
        "edge_probe",
        *(postgres if stack.components.postgres else []),
        *(["redis", "redis_admin", "redis_monitor"] if stack.components.redis else []),
        *(ciphers if backup else []),
        *(["archive_password"] if backup and backup.archive else []),
        *secret_names(stack),
    ]
    return names + sorted({f"database_{it.database}" for it in stack.services.values() if it.database})


def edge_names(stack: Stack) -> list[str]:
    """The domains a client may ask the edge for."""
    routed = {service.route.domain for service in stack.services.values() if service.route}
    console = stack.components.console
    return sorted((routed or {stack.domain}) | ({console.domain} if console else set()))


def host_names(host: Host) -> list[str]:
    """Every name a host's components are reached by; `postgres` and `redis` are aliases of its router."""
    names = [
        host.name,
        host.name.partition(".")[0],
        host.address,
        "localhost",
        "127.0.0.1",
        "postgres",
        "redis",
    ]
    return list(dict.fromkeys(names))


def _followed(document: Document, stack: Stack, others: Document) -> Iterator[str]:
    for part, name, value in shared(stack, others):
        values = table(document, part)
        if value is not None and values.get(name) != value:
            values[name] = value
            yield f"{part}/{name} (as the other site's)"


def _secrets(document: Document, stack: Stack) -> Iterator[str]:
    wanted = [("platform", name, _STRENGTH) for name in platform_secrets(stack)]
    wanted += [("user", rule.name, rule.generate) for rule in stack.secrets.values() if rule.generate]
    for part, name, strength in wanted:
        values = table(document, part)
        if values.get(name) is None:
            values[name] = token_hex(strength)
            yield f"{part}/{name}"


def _certificates(document: Document, stack: Stack, environment: str, now: datetime) -> Iterator[str]:
    authority = ca(document)
    if authority is None:
        authority = pki.new_ca(f"Slipway {stack.name} {environment} CA", now)
        table(document, "pki")["ca"] = {"certificate": authority.certificate, "key": authority.key}
        yield "pki/ca"
    wanted = {host.name: host_names(host) for host in stack.hosts}
    if stack.components.edge.tls.certificate is None:
        wanted["edge"] = edge_names(stack)
    present = pairs(document)
    for owner, names in wanted.items():
        # What stands on the internet calls nobody: its key opens no door inside.
        purposes = pki.SERVES if owner == "edge" else pki.SERVES_AND_CALLS
        known = present.get(owner)
        reason = pki.renewal(known, authority, names, now, purposes) if known else "new"
        if reason:
            pair = pki.issue(authority, names, now, purposes)
            entry = {"certificate": pair.certificate, "key": pair.key}
            table(document, "pki", "certificates")[owner] = entry
            yield f"pki/certificates/{owner} ({reason})"
