"""What must change so that a server has the roles and databases that were declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import SlipwayError
from . import scram, sql

SERVER = "postgres"
_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


@dataclass(frozen=True)
class Role:
    """A role to have. None as password or settings leaves those of the server alone."""

    name: str
    password: str | None
    login: bool
    connection_limit: int
    member_of: tuple[str, ...]
    settings: Mapping[str, str] | None


@dataclass(frozen=True)
class Database:
    """A database to have; only its owner, superusers and the roles in `connect` may connect to it."""

    name: str
    owner: str
    extensions: tuple[str, ...]
    connect: tuple[str, ...] = ()


@dataclass(frozen=True)
class RoleFound:
    login: bool
    password: str | None
    connection_limit: int
    member_of: tuple[str, ...]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class DatabaseFound:
    """public: everybody may connect. public_create: everybody may create in its schema `public`."""

    owner: str
    public: bool
    public_create: bool
    extensions: frozenset[str]
    connect: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    """One statement to run in a database, and what it does in an operator's words (never a secret)."""

    text: str
    sql: str
    database: str = SERVER

    def __str__(self) -> str:
        return self.text


def changes(
    roles: Iterable[Role],
    databases: Iterable[Database],
    roles_found: Mapping[str, RoleFound],
    databases_found: Mapping[str, DatabaseFound],
    salt: Callable[[], bytes],
) -> list[Change]:
    """In the order they can run: roles before the databases they own."""
    found: list[Change] = []
    for role in roles:
        found += _role(role, roles_found.get(role.name), salt)
    for database in databases:
        found += _database(database, databases_found.get(database.name))
    return found


def _role(role: Role, found: RoleFound | None, salt: Callable[[], bytes]) -> list[Change]:
    name = sql.name(role.name)
    steps = []
    if found is None:
        steps.append(Change(f"create role {role.name}", f"CREATE ROLE {name} {_login(role.login)};"))
        found = RoleFound(role.login, None, -1, (), {})
    if role.login != found.login:
        verb = "allow" if role.login else "forbid"
        steps.append(Change(f"{verb} login of role {role.name}", f"ALTER ROLE {name} {_login(role.login)};"))
    if role.password is not None and not scram.matches(role.password, found.password):
        verb = "change" if found.password else "set"
        verifier = sql.literal(scram.verifier(role.password, salt()))
        steps.append(
            Change(f"{verb} password of role {role.name}", f"ALTER ROLE {name} PASSWORD {verifier};")
        )
    if role.connection_limit != found.connection_limit:
        text = f"limit role {role.name} to {role.connection_limit} connections"
        steps.append(Change(text, f"ALTER ROLE {name} CONNECTION LIMIT {role.connection_limit};"))
    for group in sorted(set(role.member_of) - set(found.member_of)):
        steps.append(
            Change(f"make role {role.name} a member of {group}", f"GRANT {sql.name(group)} TO {name};")
        )
    return steps + _settings(role, found.settings)


def _login(allowed: bool) -> str:
    return "LOGIN" if allowed else "NOLOGIN"


def _settings(role: Role, found: Mapping[str, str]) -> list[Change]:
    if role.settings is None:
        return []
    name = sql.name(role.name)
    steps = []
    for setting, value in sorted(role.settings.items()):
        if not _SETTING.fullmatch(setting):
            raise SlipwayError(
                f"roles/{role.name}/settings/{setting} is no setting's name", "See PostgreSQL's pg_settings"
            )
        if found.get(setting) != value:
            text = f"set {setting} = {value} for role {role.name}"
            steps.append(Change(text, f"ALTER ROLE {name} SET {setting} = {sql.literal(value)};"))
    for setting in sorted(set(found) - set(role.settings)):
        steps.append(Change(f"reset {setting} for role {role.name}", f"ALTER ROLE {name} RESET {setting};"))
    return steps


def _database(database: Database, found: DatabaseFound | None) -> list[Change]:
    name, owner = sql.name(database.name), sql.name(database.owner)
    steps = []
    if found is None:
        text = f"create database {database.name} owned by {database.owner}"
        # template0: what somebody once put into template1 is not part of what was declared.
        steps.append(
            Change(text, f"CREATE DATABASE {name} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0;")
        )
        found = DatabaseFound(database.owner, public=True, public_create=False, extensions=frozenset())
    if found.owner != database.owner:
        text = f"give database {database.name} from {found.owner} to {database.owner}"
        steps.append(Change(text, f"ALTER DATABASE {name} OWNER TO {owner};"))
    if found.public:
        text = f"close database {database.name} to everybody but its owner"
        steps.append(Change(text, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;"))
    for role in sorted(set(database.connect) - found.connect):
        text = f"let role {role} connect to database {database.name}"
        steps.append(Change(text, f"GRANT CONNECT ON DATABASE {name} TO {sql.name(role)};"))
    if found.public_create:
        text = f"close schema public of {database.name} to everybody but its owner"
        steps.append(Change(text, "REVOKE CREATE ON SCHEMA public FROM PUBLIC;", database.name))
    for extension in sorted(set(database.extensions) - found.extensions):
        text = f"create extension {extension} in {database.name}"
        steps.append(
            Change(text, f"CREATE EXTENSION IF NOT EXISTS {sql.name(extension)} CASCADE;", database.name)
        )
    return steps


def runs(steps: Sequence[Change]) -> list[tuple[str, list[Change]]]:
    """Neighbours that go to the same database, to be sent together."""
    grouped: list[tuple[str, list[Change]]] = []
    for step in steps:
        if not grouped or grouped[-1][0] != step.database:
            grouped.append((step.database, []))
        grouped[-1][1].append(step)
    return grouped
