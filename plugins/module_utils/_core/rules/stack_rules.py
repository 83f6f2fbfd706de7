"""Rules between the parts of a stack: each function yields what one rule finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from ..data_care.clone_names import KEPT, beside
from ..errors import Problem
from ..monitoring.alert_faults import alert_faults
from ..monitoring.exports import export_faults
from ..monitoring.integrations import integration_faults
from ..monitoring.third_parties import third_party_faults
from ..stack.model import Stack
from ..stack.ports import collisions
from ..wording import did_you_mean, listed
from .backup_rules import backup_faults
from .console_rules import console_faults
from .data_rules import data_faults
from .hook_rules import hook_faults
from .job_rules import job_faults
from .rule_faults import rule_faults
from .service_rules import IMAGES, SERVICE_RULES
from .strategy_rules import strategy_faults

_TAKEN_SECRETS = re.compile(r"redis|edge_probe|(redis|postgres|patroni|database|console)_.*")
# Slipway sets these from keys of its own, or its way of running PostgreSQL stands on them.
_TAKEN_PARAMETERS = {"listen_addresses", "port", "ssl", "synchronous_standby_names", "data_directory"}
# PostgreSQL keeps some connections for replication, backups and monitoring.
_SPARE_CONNECTIONS = 10


def inconsistencies(stack: Stack) -> Iterator[Problem]:
    """Everything the rules find."""
    for service in stack.services.values():
        for service_rule in SERVICE_RULES:
            yield from service_rule(service, f"stack/services/{service.name}", stack)
    for rule in STACK_RULES:
        yield from rule(stack)


def _routes(stack: Stack) -> Iterator[Problem]:
    first: dict[tuple[str, str], str] = {}
    for name, service in stack.services.items():
        route = service.route
        if route is None or not route.path:
            continue
        owner = first.setdefault((route.domain, route.path), name)
        if owner != name:
            problem = f"takes {route.domain}{route.path}, which service {owner} has already"
            yield Problem(f"stack/services/{name}/route", problem, "Give one of them another path or domain")


def _apart_as_copies(stack: Stack) -> Iterator[Problem]:
    """Copies of two databases whose long names begin alike would be made under one name."""
    first: dict[str, str] = {}
    for name, service in stack.services.items():
        if not service.database:
            continue
        other = first.setdefault(beside(service.database), service.database)
        if other != service.database:
            problem = f"{service.database} and {other} begin with the same {KEPT} letters, which name copies"
            yield Problem(
                f"stack/services/{name}/database", problem, "Choose another name: docs/data-care.md"
            )


def _migrated_once(stack: Stack) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name, service in stack.services.items():
        if not service.database or service.migrations is None:
            continue
        owner = first.setdefault(service.database, name)
        if owner != name:
            problem = f"would migrate database {service.database}, which service {owner} migrates"
            yield Problem(f"stack/services/{name}/migrations", problem, "Keep one folder for each database")


def _hosts(stack: Stack) -> Iterator[Problem]:
    known = [host.name for host in stack.hosts]
    if "edge" in known:
        problem = "edge is the name of a host, and of the platform's own certificate"
        yield Problem("inventory/edge", problem, "Give the host its full name")
    for path, names in _placements(stack).items():
        for index, name in enumerate(names):
            if name and name not in known:
                remedy = f"{did_you_mean(name, known)}Hosts of this environment: {listed(known)}"
                yield Problem(f"{path}/hosts/{index}", f"{name} is not a host of this environment", remedy)


def _placements(stack: Stack) -> Mapping[str, tuple[str, ...]]:
    parts = stack.components
    components = {
        "edge": parts.edge.hosts,
        "registry": parts.registry.hosts,
        "etcd": parts.etcd.hosts,
        "postgres": parts.postgres.hosts if parts.postgres else (),
        "redis": parts.redis.hosts if parts.redis else (),
        "monitoring": parts.monitoring.hosts,
        "backup": parts.backup.hosts if parts.backup else (),
        "logs": parts.logs.hosts if parts.logs else (),
    }
    placed = {f"stack/components/{name}": hosts for name, hosts in components.items()}
    return placed | {f"stack/services/{name}": service.hosts for name, service in stack.services.items()}


def _etcd_is_odd(stack: Stack) -> Iterator[Problem]:
    count = len(stack.components.etcd.hosts)
    if stack.components.postgres and count and count % 2 == 0:
        problem = f"names {count} hosts, which survive no more failures than {count - 1}"
        yield Problem("stack/components/etcd/hosts", problem, "Name an odd number of hosts: 1, 3 or 5")


def _registry_is_one(stack: Stack) -> Iterator[Problem]:
    count = len(stack.components.registry.hosts)
    if count > 1:
        problem = f"names {count} hosts, and one registry serves the environment"
        yield Problem("stack/components/registry/hosts", problem, "Name one")


def _log_store_is_one(stack: Stack) -> Iterator[Problem]:
    count = len(stack.components.logs.hosts) if stack.components.logs else 1
    if count != 1:
        yield Problem(
            "stack/components/logs/hosts", f"names {count} hosts, and there is one store", "Name one"
        )


def _postgres_parameters(stack: Stack) -> Iterator[Problem]:
    postgres, path = stack.components.postgres, "stack/components/postgres"
    for name in postgres.parameters if postgres else ():
        if name == "max_connections":
            yield Problem(f"{path}/parameters/{name}", "has a key of its own", f"Move it to {path}/{name}")
        elif name in _TAKEN_PARAMETERS:
            yield Problem(f"{path}/parameters/{name}", "is set by Slipway itself", "Remove it")


def _postgres_connections(stack: Stack) -> Iterator[Problem]:
    postgres = stack.components.postgres
    databases = {service.database for service in stack.services.values() if service.database}
    # The exporter keeps one to each.
    wanted = len(databases) * (postgres.pool_size + 1) if postgres else 0
    if postgres and databases and wanted + _SPARE_CONNECTIONS > postgres.max_connections:
        pools = f"{len(databases)} database(s) with pool_size {postgres.pool_size}"
        problem = f"is {postgres.max_connections}, too few for {pools}"
        remedy = f"Write {wanted + _SPARE_CONNECTIONS} or more, or lower pool_size"
        yield Problem("stack/components/postgres/max_connections", problem, remedy)


def _tls(stack: Stack) -> Iterator[Problem]:
    tls = stack.components.edge.tls
    if (tls.certificate is None) != (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        remedy = "Name both files, or neither to use the environment's own CA"
        yield Problem("stack/components/edge/tls", f"has no {missing}", remedy)


def _secret_names(stack: Stack) -> Iterator[Problem]:
    for name in stack.secrets:
        if _TAKEN_SECRETS.fullmatch(name):
            remedy = f"Rename it, for example app_{name}"
            yield Problem(f"stack/secrets/{name}", "has a name the platform uses itself", remedy)


def _image_names(stack: Stack) -> Iterator[Problem]:
    for name in stack.images:
        if name not in IMAGES:
            remedy = f"{did_you_mean(name, IMAGES)}Known images: {listed(sorted(IMAGES))}"
            yield Problem(f"stack/images/{name}", "is not an image of the platform", remedy)


STACK_RULES: tuple[Callable[[Stack], Iterator[Problem]], ...] = (
    _routes,
    _migrated_once,
    _apart_as_copies,
    collisions,
    _hosts,
    _etcd_is_odd,
    _registry_is_one,
    _log_store_is_one,
    _postgres_parameters,
    _postgres_connections,
    _tls,
    _secret_names,
    _image_names,
    strategy_faults,
    hook_faults,
    job_faults,
    backup_faults,
    alert_faults,
    rule_faults,
    third_party_faults,
    integration_faults,
    data_faults,
    export_faults,
    console_faults,
)
