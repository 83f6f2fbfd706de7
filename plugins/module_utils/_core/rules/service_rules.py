"""Rules between the values of one service: each function yields what one rule finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..data_care.clone_names import SUFFIX
from ..errors import Problem
from ..gate.service_probes import probe_rules, sticky_rules
from ..stack.components import COMPONENTS
from ..stack.model import Stack
from ..stack.model_service import Service
from ..wording import did_you_mean
from .slo_rules import slo_rules
from .worker_rules import WORKER_RULES

IMAGES = {component.image for component in COMPONENTS.values()} | {"registry", "base"}
_TAKEN_NAMES = set(COMPONENTS) | IMAGES | {"host", "localhost"}
_TAKEN_DATABASES = {
    "postgres",
    "template0",
    "template1",
    "patroni",
    "pgbouncer",
    "replication",
    "replicator",
    "monitor",
}
_SECRET_WORDS = {
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "KEY",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
}
_HARMLESS_WORDS = {
    "PUBLIC",
    "FILE",
    "PATH",
    "NAME",
    "ID",
    "PREFIX",
    "TTL",
    "LENGTH",
    "SIZE",
    "HEADER",
    "TYPE",
    "ALGORITHM",
}
_REPLACED_IN_QUERIES = ("pool", "service")
_LOGIN_IN_URL = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^/@\s:]*:[^/@\s]+@", re.IGNORECASE)


def _one_image(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.image is None and service.build is None:
        yield Problem(
            path, "has neither image nor build", "Name the image to run, or the folder to build it from"
        )
    if service.image is not None and service.build is not None:
        yield Problem(path, "has both image and build", "Keep one of them")


def _name_is_free(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.name in _TAKEN_NAMES:
        yield Problem(
            path, "has a name the platform uses itself", f"Rename it, for example app-{service.name}"
        )


def _health(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.is_worker:
        return
    health, grpc, here = service.health_path, service.protocol == "grpc", f"{path}/health_path"
    form = 'the gRPC service to ask for, or ""' if grpc else "a path that answers 200 once a replica is ready"
    if health is None:
        yield Problem(here, "is missing", f"Add {form}")
    elif grpc and health.startswith("/"):
        yield Problem(here, "is a path, but the protocol is grpc", f"Write {form}")
    elif not grpc and not health.startswith("/"):
        yield Problem(here, f'is "{health}", not a path', "Begin it with /, for example /ready")


def _routed_replicas(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    if service.route and service.replicas == 0:
        remedy = "Write 1 or more, or remove the route"
        yield Problem(f"{path}/replicas", "is 0, but the service has a route", remedy)


def _scale(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    least, most = service.scale.min, service.scale.max
    if least > most:
        yield Problem(f"{path}/scale", f"has min {least} above max {most}", "Exchange them")
    elif not least <= service.replicas <= most:
        remedy = f"Write {least} to {most}, or other bounds under {path}/scale"
        yield Problem(f"{path}/replicas", f"is {service.replicas}, outside its bounds", remedy)


def _what_it_uses(service: Service, path: str, stack: Stack) -> Iterator[Problem]:
    parts = stack.components
    if service.database and parts.postgres is None:
        remedy = "Remove stack/components/postgres: false"
        yield Problem(f"{path}/database", "needs PostgreSQL, which is switched off", remedy)
    if service.redis and parts.redis is None:
        remedy = "Remove stack/components/redis: false"
        yield Problem(f"{path}/redis", "needs Redis, which is switched off", remedy)
    if service.migrations is not None and service.database is None:
        yield Problem(f"{path}/migrations", "has no database to apply to", f"Add {path}/database")
    if service.database and (service.database in _TAKEN_DATABASES or service.database.startswith("pg_")):
        yield Problem(f"{path}/database", f"{service.database} is the platform's own", "Choose another name")
    if service.database and service.database.endswith(SUFFIX):
        problem = f"{service.database} ends in {SUFFIX}, as what masked copies make and delete does"
        yield Problem(f"{path}/database", problem, "Choose another name: docs/data-care.md")


def _secrets(service: Service, path: str, stack: Stack) -> Iterator[Problem]:
    for index, name in enumerate(service.secrets):
        if name and name not in stack.secrets:
            meant = did_you_mean(name, stack.secrets)
            remedy = f"{meant}Declare it under stack/secrets, for example {name}: {{generate: 32}}"
            yield Problem(f"{path}/secrets/{index}", f"{name} is not declared", remedy)


def _secrets_in_environment(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    known = set(service.secrets_in_environment) <= set(service.secrets)
    if service.secrets_in_environment and known and not service.command:
        remedy = f"Write the whole command line under {path}/command, the entry point included"
        yield Problem(f"{path}/secrets_in_environment", "needs the service's command to hand them to", remedy)
    for index, name in enumerate(service.secrets_in_environment):
        here = f"{path}/secrets_in_environment/{index}"
        if name and name not in service.secrets:
            yield Problem(here, f"{name} is not one of the service's secrets", f"Add it to {path}/secrets")
        if name.upper() in service.environment:
            yield Problem(here, f"{name.upper()} is set under environment too", "Keep one of them")


def _environment(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    used = {"SLIPWAY_": True, "DATABASE_": bool(service.database), "REDIS_": service.redis}
    prefixes = tuple(prefix for prefix, is_used in used.items() if is_used)
    files = {f"{secret.upper()}_FILE" for secret in service.secrets}
    for name, value in service.environment.items():
        here = f"{path}/environment/{name}"
        if name in files or name.startswith(prefixes):
            yield Problem(here, "is set by Slipway itself", "Remove it, or rename it")
        elif _looks_secret(name, value):
            problem = "looks like a secret, and whoever may inspect the container reads it"
            yield Problem(here, problem, f"Declare it under stack/secrets and list it under {path}/secrets")


def _looks_secret(name: str, value: str) -> bool:
    words = set(name.upper().split("_"))
    named = bool(words & _SECRET_WORDS) and not words & _HARMLESS_WORDS
    literal = not value.startswith("/") and value not in ("", "true", "false")
    return (named and literal) or bool(_LOGIN_IN_URL.search(value))


def _gate_queries(service: Service, path: str, _: Stack) -> Iterator[Problem]:
    names = [query.name for query in service.gates.queries]
    for index, query in enumerate(service.gates.queries):
        here = f"{path}/gates/queries/{index}"
        if query.name and query.name in names[:index]:
            yield Problem(
                f"{here}/name", f"{query.name} is the name of an earlier query", "Rename one of them"
            )
        for word in re.findall(r"\$([A-Za-z_]\w*)", query.query):
            if word not in _REPLACED_IN_QUERIES:
                remedy = f"{did_you_mean(word, _REPLACED_IN_QUERIES)}Write $pool or $service, or the value"
                yield Problem(f"{here}/query", f"${word} is replaced by nothing", remedy)


SERVICE_RULES: tuple[Callable[[Service, str, Stack], Iterator[Problem]], ...] = (
    _one_image,
    _name_is_free,
    _health,
    _routed_replicas,
    _scale,
    _what_it_uses,
    _secrets,
    _secrets_in_environment,
    _environment,
    _gate_queries,
    *WORKER_RULES,
    probe_rules,
    sticky_rules,
    slo_rules,
)
