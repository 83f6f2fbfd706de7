"""What a site must know of the other one: read from the inventory and the other's secrets file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ..module_utils._core.errors import Problem
from ..module_utils._core.stack.model import Stack
from ..module_utils._core.wording import did_you_mean, listed
from .environment import Members
from .native import native
from .secrets import Document

PATH = "stack/components/postgres/other_site"
# Where a stack names none.
_USUAL = 3


def peer(
    stack: Stack, environment: str, members: Members, variables: Mapping[str, Mapping[str, Any]]
) -> tuple[Stack, list[Problem]]:
    """The stack with the addresses of the other site's PostgreSQL hosts, and why the two are no pair."""
    postgres = stack.components.postgres
    other = postgres.other_site if postgres else None
    if not postgres or not other:
        return stack, []
    hosts = members.get(other.environment, ())
    if not hosts or other.environment == environment:
        known = [name for name in members if name != environment]
        remedy = (
            f"{did_you_mean(other.environment, known)}Other environments of the inventory: {listed(known)}"
        )
        return stack, [Problem(f"{PATH}/environment", f"{other.environment} is no other environment", remedy)]
    try:
        theirs: Any = native(variables[hosts[0]].get("stack")) or {}
    except AnsibleError as error:
        remedy = f"Correct the stack of {other.environment}"
        return stack, [Problem(PATH, f"the stack of {other.environment} does not resolve: {error}", remedy)]
    settings = (theirs.get("components") or {}).get("postgres") or {}
    named: Sequence[str] = settings.get("hosts") or hosts[:_USUAL]
    addresses = tuple(address(name, variables[name]) for name in named if name in hosts)
    found = list(_unlike(stack, environment, theirs, settings))
    completed = replace(postgres, other_site=replace(other, members=addresses))
    return replace(stack, components=replace(stack.components, postgres=completed)), found


def address(host: str, variables: Mapping[str, Any]) -> str:
    return str(variables.get("slipway_address") or variables.get("ansible_host") or host)


def _unlike(
    stack: Stack, environment: str, theirs: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[Problem]:
    own = stack.components.postgres
    assert own
    assert own.other_site
    name = own.other_site.environment
    back = settings.get("other_site") or {}
    if theirs.get("name") != stack.name:
        remedy = "Give both the same name: databases, folders and containers are called by it"
        yield Problem("stack/name", f"is {stack.name}, that of {name} is {theirs.get('name')}", remedy)
    if back.get("environment") != environment:
        remedy = f"Add components/postgres/other_site: {{environment: {environment}}} to the stack of {name}"
        yield Problem(PATH, f"{name} does not name {environment} as its other site", remedy)
    elif bool(back.get("follow")) == own.other_site.follow:
        both = "both begin" if own.other_site.follow else "neither begins"
        yield Problem(
            f"{PATH}/follow", f"{both} as the standby of the other", "Set follow: true in one of them"
        )


def secrets_file(
    environment: str, members: Members, variables: Mapping[str, Mapping[str, Any]]
) -> Path | None:
    """Where the other site's secrets are, as its own inventory says."""
    hosts = members.get(environment, ())
    if not hosts:
        return None
    theirs = variables[hosts[0]]
    folder = Path(str(theirs.get("inventory_dir") or "."))
    return folder / str(theirs.get("slipway_secrets_file") or "secrets.vault.yml")


def shared(stack: Stack, document: Document) -> Iterator[tuple[str, str, Any]]:
    """Part, name and value of each secret that both sites must have alike.

    Roles travel with the databases, and what services have signed or encrypted is read at the other site.
    """
    for name, value in (document.get("platform") or {}).items():
        if name.startswith(("postgres_", "database_")):
            yield "platform", name, value
    for name, value in (document.get("user") or {}).items():
        if name in stack.secrets:
            yield "user", name, value
