"""Rules of `stack/components/backup`: what would be no backup, or cannot be made."""

from __future__ import annotations

from collections.abc import Iterator

from ..archive.archive_layout import archive_faults
from ..errors import Problem
from ..stack.model import Stack
from ..wording import did_you_mean, listed

_PATH = "stack/components/backup"
_OWN_PARAMETERS = ("archive_command", "archive_library", "archive_mode", "archive_timeout")
_OWN_SECRETS = ("backup_cipher", "backup_second_cipher")


def backup_faults(stack: Stack) -> Iterator[Problem]:
    """Nothing of a stack that has no backups is at fault here."""
    if not stack.components.backup:
        return
    yield from _places(stack)
    yield from _second(stack)
    yield from _assertions(stack)
    yield from _taken(stack)
    yield from archive_faults(stack)


def _places(stack: Stack) -> Iterator[Problem]:
    backup, postgres = stack.components.backup, stack.components.postgres
    if not backup:
        return
    if not postgres:
        yield Problem(_PATH, "has no database to save", "Remove it, or let the stack have postgres")
        return
    if len(backup.hosts) > 1:
        remedy = "Name one; a second place is stack/components/backup/second"
        yield Problem(f"{_PATH}/hosts", f"names {len(backup.hosts)} hosts", remedy)
    if not backup.second and set(postgres.hosts) <= set(backup.hosts):
        remedy = f"Name another host of the environment, or declare {_PATH}/second"
        problem = f"is {listed(backup.hosts)}, the only host of the databases: both would be lost together"
        yield Problem(f"{_PATH}/hosts", problem, remedy)


def _second(stack: Stack) -> Iterator[Problem]:
    second = stack.components.backup.second if stack.components.backup else None
    if not second:
        return
    if bool(second.s3) == bool(second.sftp):
        found = "names both s3 and sftp" if second.s3 else "names neither s3 nor sftp"
        yield Problem(f"{_PATH}/second", found, "Name one of them")
    wanted: dict[str, str] = {}
    if second.s3:
        wanted |= {"s3/access_key": second.s3.access_key, "s3/secret_key": second.s3.secret_key}
    if second.sftp:
        wanted["sftp/private_key"] = second.sftp.private_key
    for key, name in wanted.items():
        if name and name not in stack.secrets:
            remedy = f"{did_you_mean(name, stack.secrets)}Declare it under stack/secrets"
            yield Problem(f"{_PATH}/second/{key}", f"{name} is not a declared secret", remedy)


def _assertions(stack: Stack) -> Iterator[Problem]:
    backup, first = stack.components.backup, set[str]()
    databases = {service.database for service in stack.services.values() if service.database} | {"postgres"}
    for index, assertion in enumerate(backup.assertions if backup else ()):
        path = f"{_PATH}/assertions/{index}"
        if assertion.database and assertion.database not in databases:
            remedy = f"{did_you_mean(assertion.database, databases)}Databases: {listed(sorted(databases))}"
            yield Problem(f"{path}/database", f"{assertion.database} is no database of a service", remedy)
        if assertion.name in first:
            yield Problem(f"{path}/name", f"{assertion.name} is taken", "Give each a name of its own")
        first.add(assertion.name)


def _taken(stack: Stack) -> Iterator[Problem]:
    postgres = stack.components.postgres
    for name in postgres.parameters if postgres else ():
        if name in _OWN_PARAMETERS:
            remedy = f"Remove it; how often WAL is sent is {_PATH}/wal_every"
            yield Problem(f"stack/components/postgres/parameters/{name}", "is set by backups", remedy)
    for name in stack.secrets:
        if name in _OWN_SECRETS:
            remedy = f"Rename it, for example app_{name}"
            yield Problem(f"stack/secrets/{name}", "has a name the platform uses itself", remedy)
