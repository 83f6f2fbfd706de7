"""Render everything one host needs: Compose file, configuration, secrets and certificates.

Plain Jinja, not Ansible's templar: a fleet renders in well under a second, and a template sees
exactly the names listed in `render`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jinja2

from ..module_utils._core.archive import archive_layout
from ..module_utils._core.backup.rebuild import UNDER_WAY
from ..module_utils._core.data_care.retention_work import SETTINGS as RETENTION
from ..module_utils._core.data_care.retention_work import Rule, settings
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.gate.edge_counts import BOUNDS
from ..module_utils._core.logs.log_store import SETTINGS, shipping
from ..module_utils._core.monitoring import alert_rules, availability_list, exports
from ..module_utils._core.monitoring import stopped as not_running
from ..module_utils._core.monitoring.alert_routing import SECRETS, SIGNS, owners, routing, secret_names
from ..module_utils._core.monitoring.console import address, dashboard_link
from ..module_utils._core.monitoring.console import files as console_files
from ..module_utils._core.monitoring.integrations import remote_secrets, sentry_files, sentry_variables
from ..module_utils._core.monitoring.slo import BURN_RATES, FEW_ERRORS, WINDOWS, objectives
from ..module_utils._core.monitoring.third_parties import FOLDER, listing
from ..module_utils._core.monitoring.third_parties import secret_names as third_party_secrets
from ..module_utils._core.monitoring.traces import told_by
from ..module_utils._core.pool_names import POOLS
from ..module_utils._core.postgresql.sites import SLOT, UNLESS_IT_FOLLOWS, patroni_of, upstream
from ..module_utils._core.release.jobs import JOBS_FILE, told
from ..module_utils._core.stack.components import COMPONENTS, SLIPWAY_UID
from ..module_utils._core.stack.data_placement import PLACEMENT
from ..module_utils._core.stack.data_placement import told as placed
from ..module_utils._core.stack.topology import (
    ARCHIVE_PORTS,
    BACKUP_PORTS,
    CONSOLE_PORTS,
    LOG_PORTS,
    PORTS,
    TRACE_PORTS,
    HostView,
    Topology,
)
from ..module_utils._core.transport import fingerprint
from ..module_utils._core.tree import IMAGES, File
from . import dashboard_files


def _retention(topology: Topology) -> list[Rule]:
    """What is deleted when it is old, in the order in which it was declared."""
    return [
        Rule(name, rule.table, rule.column, rule.keep, rule.cascades)
        for name, care in topology.stack.data.databases.items()
        for rule in care.retention
    ]


def _other_site(topology: Topology) -> object:
    postgres = topology.stack.components.postgres
    return postgres and postgres.other_site


# Alerts of what a stack may lack: their absence of figures would be one.
_ONLY_WITH: Mapping[str, Callable[[Topology], object]] = {
    "rules/backup.yml.j2": lambda it: it.members("backup-repository"),
    "rules/archive.yml.j2": lambda it: it.members("archive-repository"),
    "rules/logs.yml.j2": lambda it: it.members("logs"),
    "rules/availability.yml.j2": lambda it: availability_list.listening(it.stack),
    "rules/remote-write.yml.j2": lambda it: it.stack.components.monitoring.remote_write,
    "rules/data.yml.j2": _retention,
    "rules/own.yml.j2": lambda it: it.stack.components.monitoring.alerts.rules,
    "rules/traces.yml.j2": lambda it: it.members("traces"),
    "traces.html": lambda it: it.members("traces"),
    "traces.js": lambda it: it.members("traces"),
    "traces.conf.j2": lambda it: it.members("traces"),
    "rules/third-parties.yml.j2": lambda it: it.stack.components.monitoring.outside,
    "rules/second-site.yml.j2": _other_site,
    # Beside PostgreSQL.
    "site.json.j2": _other_site,
    "site.py": _other_site,
    "diverged.py": _other_site,
    "fence.py": lambda it: len(it.members("postgres")) > 1,
}
# Their own marks, because Prometheus has its own use for {{ }} there.
_OPENING = {"variable_start_string": "[[", "block_start_string": "[%", "comment_start_string": "[#"}
_CLOSING = {"variable_end_string": "]]", "block_end_string": "%]", "comment_end_string": "#]"}


COMPOSE_FOLDER = Path(__file__).resolve().parents[2] / "compose"


@dataclass(frozen=True)
class Material:
    """What a rendering needs beside the topology; none of it is derivable from the stack.

    images: component or service name -> reference pinned by digest.
    secrets: name -> value, the platform's (`postgres_superuser`, `database_<name>` …) and the user's.
    ca: PEM of the environment's CA. certificates: host name (or `edge`) -> (certificate PEM, key PEM).
    migrations: service name -> folder on the control node. environment: its name.
    dashboards: the user's, name -> what it says. runbooks: the user's, name of a file -> text.
    other_ca: PEM of the other site's CA, if there is one.
    bootstrap: the command that fills a new cluster of PostgreSQL's; "": it begins empty.
    watchdogs: names of the hosts that have a watchdog for PostgreSQL's user.
    """

    images: Mapping[str, str]
    secrets: Mapping[str, str]
    ca: str
    certificates: Mapping[str, tuple[str, str]]
    migrations: Mapping[str, Path]
    environment: str = ""
    dashboards: Mapping[str, object] = field(default_factory=dict)
    other_ca: str = ""
    bootstrap: str = ""
    watchdogs: frozenset[str] = frozenset()
    runbooks: Mapping[str, str] = field(default_factory=dict)


def _watchdog(topology: Topology, view: HostView, having: frozenset[str]) -> bool:
    """Whether PostgreSQL's member here gets the watchdog: without its device, it would not start."""
    postgres = topology.stack.components.postgres
    if not postgres or postgres.watchdog == "off" or not view.runs("postgres"):
        return False
    if postgres.watchdog == "required" and view.host.name not in having:
        raise SlipwayError(
            f"{view.host.name} has no watchdog, and stack/components/postgres/watchdog is required",
            "Load its driver and run playbooks/provision.yml, or set automatic: docs/runbooks/postgres.md",
        )
    return view.host.name in having


def render(topology: Topology, view: HostView, material: Material) -> list[File]:
    """The complete tree of one host, paths relative to a release folder."""
    alerts, logs = topology.stack.components.monitoring.alerts, topology.stack.components.logs
    traces = logs.traces if logs else None
    context = {
        "stack": topology.stack,
        "topology": topology,
        "view": view,
        "host": view.host,
        "ports": {
            **PORTS,
            **BACKUP_PORTS,
            **ARCHIVE_PORTS,
            **LOG_PORTS,
            **TRACE_PORTS,
            **CONSOLE_PORTS,
        },
        "pools": POOLS,
        "bounds": BOUNDS,
        "objectives": objectives(topology.stack.services),
        "windows": WINDOWS,
        "burn_rates": BURN_RATES,
        "few_errors": FEW_ERRORS,
        "images": material.images,
        "secrets": material.secrets,
        "from_backup": material.bootstrap,
        "edge_certificate": fingerprint(material.certificates["edge"][0]),
        "root": f"/opt/{topology.stack.name}",
        "sentry_variables": sentry_variables,
        "environment": material.environment,
        "routing": routing,
        "signs": SIGNS.values(),
        "traces": traces,
        "export_headers": exports.export_headers,
        "told_by": partial(told_by, traces) if traces else None,
        "owners": owners,
        "thresholds": alerts.thresholds,
        "other_site_slot": SLOT,
        "unless_it_follows": UNLESS_IT_FOLLOWS,
        "not_running": not_running,
        "alert_rules": alert_rules,
        "upstream": upstream,
        "patroni_of": patroni_of,
        "at_bootstrap": False,
        "watchdog": _watchdog(topology, view, material.watchdogs),
        # What stands before docs/runbooks/… in an alert.
        "console_url": address(topology.stack),
        "dashboard": partial(dashboard_link, topology.stack),
        "documents": f"{alerts.runbooks.rstrip('/')}/" if alerts.runbooks else "",
    }
    environment = _environment()
    files = []
    for component in view.components:
        files += _configuration(environment, component, context)
        if COMPONENTS[component].tls:
            certificate = "edge" if component == "edge" else view.host.name
            files += _tls(f"config/{component}/tls", COMPONENTS[component].uid, material, certificate)
    if view.runs("postgres") and _other_site(topology):
        authorities = material.ca + material.other_ca
        files.append(File("config/postgres/tls/sites.crt", authorities, 0o400, COMPONENTS["postgres"].uid))
    files += _monitoring(topology, view, material)
    if view.runs("console"):
        files += [
            File(path, text, 0o400, COMPONENTS[path.split("/")[1]].uid)
            for path, text in _console(topology, view, material).items()
        ]
    # For the modules that look after this host, not for any container.
    files += _tls("config/host/tls", 0, material, view.host.name)
    files += [File(UNDER_WAY, material.bootstrap + "\n", 0o400, 0)] if material.bootstrap else []
    if where := shipping(topology, view):
        files.append(File(SETTINGS, where, 0o400, 0))
        others = exports.destinations(topology.stack, view.host, material.environment, material.secrets)
        files += [File(path, text, 0o400, 0) for path, text in others.items()]
    if view.runs("postgres") and (rules := _retention(topology)):
        files.append(File(str(RETENTION), settings(rules), 0o400, 0))
    if view.runs("redis"):
        files.append(File("config/host/redis_password", material.secrets["redis"], 0o400, 0))
    files += [
        File(f"config/host/archive/{name}", text, 0o400, 0)
        for name, text in archive_layout.files(topology, view, material.secrets).items()
    ]
    for service, pool in sorted({(replica.service, replica.pool) for replica in view.replicas}):
        files += _service_secrets(topology, service, f"services/{service}-{pool}", material)
    for job in view.jobs:
        files += _service_secrets(topology, job.service, f"jobs/{job.name}", material)
    if view.jobs:
        files.append(File(JOBS_FILE, told(view.jobs), 0o644, 0))
    if view.runs("postgres"):
        for service, folder in sorted(material.migrations.items()):
            files += [
                File(f"migrations/{service}/{path.name}", path.read_text(encoding="utf-8"), 0o644, 0)
                for path in sorted(folder.glob("*.sql"))
            ]
    # What of the images is this release: for runs that change something else.
    files.append(File(IMAGES, json.dumps(dict(material.images), indent=1, sort_keys=True) + "\n", 0o644, 0))
    files.append(File(PLACEMENT, placed(topology.stack), 0o644, 0))
    files.append(
        File("docker-compose.prod.yml", _render(environment, "docker-compose.prod.yml.j2", context), 0o644, 0)
    )
    return files


def _console(topology: Topology, view: HostView, material: Material) -> Mapping[str, str]:
    sources = {**dashboard_files.platform(), **material.dashboards}
    told = console_files(topology, view, material.secrets, sources)
    # What an alert names as a path is there to be read, at night and on a telephone.
    books = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((COMPOSE_FOLDER.parent / "docs/runbooks").glob("*.md"))
    }
    shown = {**material.runbooks, **books}
    return {**told, **{f"config/console/page/docs/runbooks/{name}": text for name, text in shown.items()}}


def _configuration(environment: jinja2.Environment, component: str, context: Mapping[str, Any]) -> list[File]:
    """All of `compose/config/<component>/`; names that end in `.j2` are rendered, others copied."""
    folder = COMPOSE_FOLDER / "config" / component
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        inner = path.relative_to(folder).as_posix()
        if inner in _ONLY_WITH and not _ONLY_WITH[inner](context["topology"]):
            continue
        uid = COMPONENTS[component].uid
        if path.suffix == ".j2":
            own = _rules() if inner.startswith("rules/") else environment
            text = _render(own, f"config/{component}/{inner}", context)
            inner = inner.removesuffix(".j2")
        else:
            text = path.read_text(encoding="utf-8")
        mode = 0o500 if path.suffix == ".sh" or inner.endswith(".sh") else 0o400
        files.append(File(f"config/{component}/{inner}", text, mode, uid))
    return files


def _monitoring(topology: Topology, view: HostView, material: Material) -> list[File]:
    """Secrets of what watches, and what programs of this host ask and tell."""
    stack, files = topology.stack, []
    monitoring = stack.components.monitoring
    if view.runs("alertmanager"):
        files += _secrets(f"config/alertmanager/{SECRETS}", secret_names(monitoring.alerts), material)
    if view.runs("prometheus"):
        files += _secrets(f"config/prometheus/{SECRETS}", remote_secrets(stack), material)
    if monitoring.outside and view.runs("prometheus"):
        files.append(File(f"{FOLDER}/list.json", listing(monitoring.outside), 0o400, 0))
        files += _secrets(f"{FOLDER}/secrets", third_party_secrets(monitoring.outside), material, 0)
    if availability_list.here(topology, view):
        folder, hooks = availability_list.FOLDER, availability_list.listening(stack)
        told = availability_list.listing(topology, view, material.environment)
        files.append(File(f"{folder}/list.json", told, 0o400, 0))
        files += _secrets(f"{folder}/secrets", availability_list.secret_names(hooks), material, 0)
    return files


def _secrets(folder: str, names: Sequence[str], material: Material, uid: int = SLIPWAY_UID) -> list[File]:
    return [File(f"{folder}/{name}", material.secrets[name], 0o400, uid) for name in names]


def _tls(folder: str, uid: int, material: Material, certificate: str) -> list[File]:
    public, key = material.certificates[certificate]
    return [
        File(f"{folder}/ca.crt", material.ca, 0o400, uid),
        File(f"{folder}/tls.crt", public, 0o400, uid),
        File(f"{folder}/tls.key", key, 0o400, uid),
        # HAProxy wants one file.
        File(f"{folder}/tls.pem", public + key, 0o400, uid),
    ]


def _service_secrets(topology: Topology, name: str, folder: str, material: Material) -> list[File]:
    """What a service finds under /run/secrets: its secrets, its database's and Redis's passwords, the CA."""
    service = topology.stack.services[name]
    wanted = {secret: material.secrets[secret] for secret in service.secrets}
    if service.database:
        wanted["database_password"] = material.secrets[f"database_{service.database}"]
    if service.redis:
        wanted["redis_password"] = material.secrets["redis"]
    wanted |= sentry_files(topology.stack, name, material.secrets)
    wanted["ca.crt"] = material.ca
    if service.secrets_in_environment:
        wanted["with-environment.sh"] = with_environment(service.secrets_in_environment)
    return [
        File(f"config/{folder}/{secret}", value, 0o400, service.user)
        for secret, value in sorted(wanted.items())
    ]


def with_environment(names: Sequence[str]) -> str:
    """A shell script that exports secrets from their files and becomes the command it is given."""
    exports = "".join(
        f'{name.upper()}="$(cat /run/secrets/{name})"\nexport {name.upper()}\n' for name in names
    )
    return f'#!/bin/sh\nset -eu\n{exports}exec "$@"\n'


@lru_cache(maxsize=1)
def _rules() -> jinja2.Environment:
    marks: dict[str, Any] = {**_OPENING, **_CLOSING}
    return _environment().overlay(**marks)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(COMPOSE_FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # configuration files, not HTML
    )
    environment.filters["to_json"] = lambda value: json.dumps(value, sort_keys=True)
    # As Prometheus's YAML reads it: there, a character beyond the first 65536 is no two of \u.
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["sha256"] = lambda value: hashlib.sha256(value.encode()).hexdigest()
    return environment


def _render(environment: jinja2.Environment, template: str, context: Mapping[str, Any]) -> str:
    try:
        return environment.get_template(template).render(context)
    except jinja2.TemplateError as error:
        raise SlipwayError(f"compose/{template} does not render: {error}", "Correct the template") from error
